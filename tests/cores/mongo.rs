//! As much of MongoDB as the adapters use, after its manual: `update` with `upsert`, `find`, `delete`.

use serde_json::{Map, Value, json};

/// One collection.
#[derive(Clone, Default)]
pub(crate) struct Collection(pub(crate) Vec<Value>);

impl Collection {
    /// Runs a command; what it found.
    pub(crate) fn run(&mut self, command: &str) -> Vec<Value> {
        let command: Value = serde_json::from_str(command).unwrap();
        if command.get("find").is_some() {
            return self.0.iter().filter(|document| matches(document, &command["filter"])).cloned().collect();
        }
        assert_eq!(command["writeConcern"], json!({ "w": "majority", "j": true }));
        if command.get("delete").is_some() {
            let [delete] = command["deletes"].as_array().unwrap().as_slice() else { panic!("one") };
            assert_eq!(delete["limit"], 0);
            self.0.retain(|document| !matches(document, &delete["q"]));
            return Vec::new();
        }
        assert!(command["update"].is_string(), "{command}");
        let [update] = command["updates"].as_array().unwrap().as_slice() else { panic!("one") };
        let (q, u) = (&update["q"], &update["u"]);
        if let Some(document) = self.0.iter_mut().find(|document| matches(document, q)) {
            change(document, u);
        } else if update["upsert"] == true {
            let mut document = json!({ "_id": q["_id"] });
            assert!(!self.0.iter().any(|other| other["_id"] == document["_id"]), "E11000 duplicate key");
            for (field, value) in u["$setOnInsert"].as_object().unwrap() {
                *place(&mut document, field) = value.clone();
            }
            self.0.push(document);
        }
        Vec::new()
    }
}

fn matches(document: &Value, filter: &Value) -> bool {
    let number = |path: &Value| at(document, path.as_str().unwrap().strip_prefix('$').unwrap()).unwrap().as_u64();
    filter.as_object().unwrap().iter().all(|(path, wanted)| {
        if path == "$expr" {
            let [a, b] = wanted["$gt"].as_array().unwrap().as_slice() else { panic!("$gt of two") };
            return number(a) > number(b);
        }
        let found = at(document, path);
        let Some(operators) = wanted.as_object().filter(|wanted| wanted.keys().all(|key| key.starts_with('$'))) else {
            return found == Some(wanted);
        };
        if operators.contains_key("$oid") {
            return found == Some(wanted);
        }
        operators.iter().all(|(operator, operand)| {
            let compare = |test: fn(u64, u64) -> bool| {
                found.is_some_and(|found| test(found.as_u64().unwrap(), operand.as_u64().unwrap()))
            };
            match operator.as_str() {
                "$lt" => compare(|a, b| a < b),
                "$lte" => compare(|a, b| a <= b),
                "$gte" => compare(|a, b| a >= b),
                "$exists" => found.is_some() == operand.as_bool().unwrap(),
                other => panic!("{other}"),
            }
        })
    })
}

fn change(document: &mut Value, update: &Value) {
    for (operator, fields) in update.as_object().unwrap() {
        let fields = fields.as_object().unwrap();
        assert!(!fields.is_empty(), "{operator} of nothing");
        for (path, value) in fields {
            match operator.as_str() {
                "$set" => *place(document, path) = value.clone(),
                "$max" => {
                    let place = place(document, path);
                    *place = place.as_u64().unwrap().max(value.as_u64().unwrap()).into();
                }
                "$unset" => {
                    document.as_object_mut().unwrap().remove(path);
                }
                "$setOnInsert" => {}
                other => panic!("{other}"),
            }
        }
    }
}

pub(crate) fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, part| value.get(part))
}

fn place<'a>(document: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(document, |value, part| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        &mut value[part]
    })
}
