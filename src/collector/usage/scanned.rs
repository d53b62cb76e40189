//! Usage as the API writes it nearly always, read by hand: a tenth of a collection's processor time where serde_json
//! took a quarter. Anything unusual is `None` and left to serde_json.

use super::{ContainerUsage, Measurement, Usage};
use crate::cluster::amounts::Amounts;
use crate::cluster::text::Text;
use crate::kube::scan::Scan;

/// The object at the start of `window`, and how many bytes it takes.
pub(super) fn object(window: &[u8]) -> Option<(Measurement<'_>, usize)> {
    let mut scan = Scan::new(window);
    let (mut meta, mut timestamp, mut duration) = (None, None, None);
    let (mut containers, mut usage) = (None, None);
    scan.object(|it, name| match name {
        b"metadata" => once(&mut meta, metadata(it)?),
        b"timestamp" => once(&mut timestamp, it.text()?),
        b"window" => once(&mut duration, it.text()?),
        b"containers" => once(&mut containers, list(it)?),
        b"usage" => once(&mut usage, amounts(it)?),
        _ => it.skip(),
    })?;
    let (namespace, name) = meta?;
    let measurement = Measurement {
        namespace,
        name,
        usage: timestamp.and_then(|it| {
            let containers = containers.unwrap_or_default();
            Usage::of(it, duration, containers, usage.unwrap_or_default())
        }),
    };
    Some((measurement, scan.position()))
}

/// Namespace and name.
fn metadata<'a>(scan: &mut Scan<'a>) -> Option<(Text<'a>, Text<'a>)> {
    let (mut name, mut namespace) = (None, None);
    scan.object(|it, member| match member {
        b"name" => once(&mut name, text(it)?),
        b"namespace" => once(&mut namespace, text(it)?),
        _ => it.skip(),
    })?;
    Some((namespace.unwrap_or_default(), name?))
}

fn list<'a>(scan: &mut Scan<'a>) -> Option<Vec<ContainerUsage<'a>>> {
    // Two thirds of all pods have one or two.
    let mut containers = Vec::with_capacity(2);
    scan.array(|it| {
        let (mut name, mut usage) = (None, None);
        it.object(|it, member| match member {
            b"name" => once(&mut name, text(it)?),
            b"usage" => once(&mut usage, amounts(it)?),
            _ => it.skip(),
        })?;
        containers.push(ContainerUsage::of(name?, usage.unwrap_or_default()));
        Some(())
    })?;
    Some(containers)
}

fn amounts(scan: &mut Scan<'_>) -> Option<Amounts> {
    let (mut cpu, mut memory) = (None, None);
    scan.object(|it, member| match member {
        b"cpu" => once(&mut cpu, it.text()?),
        b"memory" => once(&mut memory, it.text()?),
        _ => it.skip(),
    })?;
    Some(Amounts::of(cpu, memory))
}

fn text<'a>(scan: &mut Scan<'a>) -> Option<Text<'a>> {
    Some(Text(scan.text()?.into()))
}

/// A member that comes twice is for serde_json to refuse.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::object;
    use super::*;

    /// What serde_json reads of `text`, if it does.
    fn general(text: &str) -> Option<Measurement<'_>> {
        let mut source = serde_json::Deserializer::from_str(text);
        let read = object::read(&mut source).ok()?;
        source.end().ok().map(|()| read)
    }

    /// Numbers that look drawn, the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % end as u64).unwrap()
        }

        fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
            texts[self.below(texts.len())]
        }

        /// `{...}` of some of `members`, in any order, perhaps one of them twice.
        fn object(&mut self, members: &[(&str, String)]) -> String {
            let mut parts: Vec<String> = Vec::new();
            for _ in 0..self.below(members.len() * 2) {
                let (name, value) = &members[self.below(members.len())];
                let gap = self.of(&["", "", " ", "\n\t"]);
                let part = format!("\"{name}\":{gap}{value}");
                if !parts.contains(&part) || self.below(20) == 0 {
                    parts.push(part);
                }
            }
            format!("{{{}}}", parts.join(","))
        }

        fn text(&mut self) -> String {
            let plain = [
                "\"a\"",
                "\"web-0\"",
                "\"é\"",
                "\"2024-01-15T10:25:00Z\"",
                "\"30s\"",
                "\"12n\"",
                "\"\"",
            ];
            let odd = ["\"\\u00e9\"", "\"tab\\t\"", "\"quote\\\"}\"", "null", "7"];
            let texts = if self.below(8) > 0 { &plain[..] } else { &odd };
            self.of(texts).to_owned()
        }

        fn odd(&mut self) -> String {
            self.of(&[
                "null",
                "{}",
                "[]",
                "1e999",
                "-0",
                r#"{"a":[{"b":"]}"}]}"#,
                r#""x""#,
                "true",
                "[[],{}]",
            ])
            .to_owned()
        }

        fn amounts(&mut self) -> String {
            let members = [
                ("cpu", self.text()),
                ("memory", self.text()),
                ("gpu", self.odd()),
            ];
            if self.below(10) == 0 {
                self.odd()
            } else {
                self.object(&members)
            }
        }

        fn containers(&mut self) -> String {
            let each: Vec<String> = (0..self.below(4))
                .map(|_| {
                    let members = [
                        ("name", self.text()),
                        ("usage", self.amounts()),
                        ("more", self.odd()),
                    ];
                    self.object(&members)
                })
                .collect();
            format!("[{}]", each.join(self.of(&[",", " , "])))
        }

        fn metrics(&mut self) -> String {
            let meta = [
                ("name", self.text()),
                ("namespace", self.text()),
                ("labels", self.odd()),
            ];
            let meta = self.object(&meta);
            let containers = self.containers();
            let members = [
                ("metadata", meta),
                ("timestamp", self.text()),
                ("window", self.text()),
                ("containers", containers),
                ("usage", self.amounts()),
                ("kind", self.odd()),
            ];
            self.object(&members)
        }
    }

    #[test]
    fn whatever_comes_it_reads_what_serde_json_reads_or_leaves_it() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut read = 0;
        for _ in 0..100_000 {
            let text = dice.metrics();
            let followed = format!("{text},{{");
            if let Some((object, taken)) = super::object(followed.as_bytes()) {
                assert_eq!(taken, text.len(), "{text}");
                assert_eq!(Some(&object), general(&text).as_ref(), "{text}");
                read += 1;
            }
            // Cut off anywhere, there is nothing to read.
            let cut = dice.below(text.len());
            assert!(super::object(&text.as_bytes()[..cut]).is_none(), "{text}");
        }
        assert!(read > 1_000, "{read} of them were read by hand");
    }

    #[test]
    fn what_a_server_sends_is_read_by_hand() {
        let text = r#"{"apiVersion":"metrics.k8s.io/v1beta1","containers":[{"name":"c","usage":{"cpu":"2386041n","memory":"20Mi"}},{"name":"d","usage":{"cpu":"0","memory":"1Ki"}}],"kind":"PodMetrics","metadata":{"creationTimestamp":"2024-01-15T10:25:00Z","generation":1,"managedFields":[{"apiVersion":"metrics.k8s.io/v1beta1","fieldsV1":{"f:containers":{},"f:window":{}}}],"name":"p","namespace":"a","labels":{"x":"y"}},"timestamp":"2024-01-15T10:25:00Z","window":"30s"}"#;
        let (object, taken) = super::object(text.as_bytes()).unwrap();
        assert_eq!((Some(object), taken), (general(text), text.len()));
    }
}
