"""Fails where two files of manifests do not hold the same objects, and says what differs."""

import difflib
import json
import sys

import yaml


# What Helm alone can say of an object: the release and the chart that it came with.
OF_HELM = ["app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"]


def objects(path):
    with open(path, encoding="utf-8") as file:
        documents = [it for it in yaml.safe_load_all(file) if it]
    found = {}
    for it in documents:
        for label in OF_HELM:
            it["metadata"].get("labels", {}).pop(label, None)
        # The order of variables means nothing; patches change it.
        if it["kind"] == "Deployment":
            for container in it["spec"]["template"]["spec"]["containers"]:
                container["env"].sort(key=lambda variable: variable["name"])
        name = "/".join([it["kind"], it["metadata"].get("namespace", ""), it["metadata"]["name"]])
        if name in found:
            sys.exit(f"{path}: {name} is there twice")
        found[name] = json.dumps(it, indent=1, sort_keys=True).splitlines()
    return found


def main():
    left, right = (objects(path) for path in sys.argv[1:3])
    differences = [f"only in one: {name}" for name in sorted(left.keys() ^ right.keys())]
    for name in sorted(left.keys() & right.keys()):
        differences += difflib.unified_diff(left[name], right[name], f"{sys.argv[1]} {name}", f"{sys.argv[2]} {name}", lineterm="")
    if differences or not left:
        sys.exit("\n".join(differences) or "no objects at all")
    print(f"{len(left)} objects, the same in both")


main()
