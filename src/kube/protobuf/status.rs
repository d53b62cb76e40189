//! A refusal in protobuf: the server writes it in the form that was asked for, whatever it refuses.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::{Malformed, fields, object};

/// The meta/v1 Status that `body` is, of which the members are read that [`crate::kube::Status`] keeps; `None` where
/// it is not protobuf.
pub fn status(body: &[u8]) -> Option<meta::Status> {
    message(object(body).ok()?).ok()
}

fn message(bytes: &[u8]) -> Result<meta::Status, Malformed> {
    const MESSAGE: u32 = 3;
    const REASON: u32 = 4;
    const DETAILS: u32 = 5;
    const CODE: u32 = 6;
    let mut status = meta::Status::default();
    fields(bytes, |number, value| {
        match number {
            MESSAGE => status.message = value.set_text()?.map(str::to_owned),
            REASON => status.reason = value.set_text()?.map(str::to_owned),
            DETAILS => status.details = Some(details(value.message()?)?),
            CODE => status.code = i32::try_from(value.number()?).ok(),
            _ => (),
        }
        Ok(())
    })?;
    Ok(status)
}

fn details(bytes: &[u8]) -> Result<meta::StatusDetails, Malformed> {
    const CAUSES: u32 = 4;
    const RETRY_AFTER_SECONDS: u32 = 5;
    let mut details = meta::StatusDetails::default();
    fields(bytes, |number, value| {
        match number {
            CAUSES => {
                let cause = cause(value.message()?)?;
                details.causes.get_or_insert_default().push(cause);
            }
            RETRY_AFTER_SECONDS => {
                details.retry_after_seconds = i32::try_from(value.number()?).ok();
            }
            _ => (),
        }
        Ok(())
    })?;
    Ok(details)
}

fn cause(bytes: &[u8]) -> Result<meta::StatusCause, Malformed> {
    const REASON: u32 = 1;
    const MESSAGE: u32 = 2;
    let mut cause = meta::StatusCause::default();
    fields(bytes, |number, value| {
        match number {
            REASON => cause.reason = value.set_text()?.map(str::to_owned),
            MESSAGE => cause.message = value.set_text()?.map(str::to_owned),
            _ => (),
        }
        Ok(())
    })?;
    Ok(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answers() {
        // Of Kubernetes 1.20.2, word for word.
        let body = b"k8s\0\n\x0c\n\x02v1\x12\x06Status\x12I\n\x06\n\0\x12\0\x1a\0\x12\x07Failure\x1a\x15pods \"nope\" not found\
            \"\x08NotFound*\x12\n\x04nope\x12\0\x1a\x04pods(\x002\x000\x94\x03\x1a\0\"\0";
        let found = status(body).unwrap();
        assert_eq!(found.reason.as_deref(), Some("NotFound"));
        assert_eq!(found.code, Some(404));
        assert_eq!(found.message.as_deref(), Some("pods \"nope\" not found"));
        let unset =
            b"k8s\0\x12\x1c\n\x06\n\0\x12\0\x1a\0\x12\x07Failure\x1a\x04gone\"\x000\x9a\x03";
        assert_eq!(status(unset).unwrap().reason, None);
        let details = b"k8s\0\x12\x1c*\x1a\"\x16\n\x10DisruptionBudget\x12\x02no(\x03";
        let details = status(details).unwrap().details.unwrap();
        assert_eq!(details.retry_after_seconds, Some(3));
        let cause = &details.causes.unwrap()[0];
        assert_eq!(cause.reason.as_deref(), Some("DisruptionBudget"));
        assert_eq!(cause.message.as_deref(), Some("no"));
    }

    #[test]
    fn anything_else_is_none() {
        for body in [
            &b""[..],
            b"{}",
            b"k8s\0",
            b"k8s\0\x12\x05\n",
            b"k8s\0\x12\x03\x1a\x01\xff",
        ] {
            assert_eq!(status(body), None, "{body:?}");
        }
    }
}
