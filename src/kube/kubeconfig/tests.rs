use super::*;

fn access(user: &str) -> Result<Access, Fault> {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: 'https://h:6443/', certificate-authority: pki/ca.crt}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    );
    parse(&text, Path::new("/home/me/.kube/config"))?.access()
}

#[test]
fn relative_files_are_beside_the_kubeconfig() {
    let found = access("{tokenFile: ./token}").unwrap();
    assert_eq!(found.server, "https://h:6443");
    assert!(
        matches!(found.ca, Some(Pem::File(path)) if path == Path::new("/home/me/.kube/pki/ca.crt"))
    );
    assert!(
        matches!(found.user, User::TokenFile(path) if path == Path::new("/home/me/.kube/./token"))
    );
}

#[test]
fn every_kind_of_user() {
    assert!(
        matches!(access("{token: abc}").unwrap().user, User::Token(it) if it.expose() == "abc")
    );
    assert!(matches!(access("null").unwrap().user, User::Anonymous));
    let certificate = "{client-certificate-data: LS0tCg==, client-key: key.pem}";
    assert!(matches!(
        access(certificate).unwrap().user,
        User::Certificate { .. }
    ));
    let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: ./get, args: null, env: [{name: A, value: b}]}}";
    let User::Exec(exec) = access(exec).unwrap().user else {
        panic!("no exec")
    };
    assert_eq!(exec.command, "/home/me/.kube/./get");
    assert_eq!(exec.env[0].name, "A");
}

#[test]
fn what_cannot_be_used_is_named() {
    for (user, expected) in [
        ("{username: me, password: secret}", "username and password"),
        ("{auth-provider: {name: gcp}}", "auth-provider"),
        ("{client-certificate: c.pem}", "client-key is missing"),
        (
            "{client-certificate-data: '%%%', client-key: k}",
            "client-certificate-data is not PEM",
        ),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: c}}",
            "v1alpha1",
        ),
    ] {
        let fault = access(user).unwrap_err().0;
        assert!(fault.contains(expected), "{user}: {fault}");
        assert!(!fault.contains("secret"), "{fault}");
    }
}

#[test]
fn the_first_file_wins_and_a_missing_one_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a",
        "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n",
    );
    write(
        "b",
        "current-context: x\nclusters: [{name: k, cluster: {server: 'http://b'}}]\n",
    );
    let path = |name: &str| folder.path().join(name).display().to_string();
    let found = load(&format!("{}:{}:{}", path("none"), path("a"), path("b"))).unwrap();
    assert_eq!(found.server, "http://b");
    assert!(load(&path("none")).unwrap_err().0.contains("no file"));
}

#[test]
fn a_file_that_is_no_yaml_is_not_quoted() {
    let fault = parse("users: [{token: tell-nobody", Path::new("f"))
        .map(drop)
        .unwrap_err()
        .0;
    assert!(!fault.contains("tell-nobody"), "{fault}");
    let fault = parse("users: tell-nobody", Path::new("f"))
        .map(drop)
        .unwrap_err()
        .0;
    assert_eq!(
        fault,
        "f is no kubeconfig: invalid type: string ..., expected a sequence"
    );
}
