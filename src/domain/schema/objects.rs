//! Object properties and their dependencies.

use std::collections::HashSet;

use bson::{Bson, Document, doc};

use super::place::SchemaPlace;
use super::rules::Rules;
use super::translate::Translation;
use super::{Invalid, REVISION, values};

impl Translation {
    /// All object keywords.
    pub(super) fn objects(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        self.properties(schema, place, rules);
        self.required(schema, place, rules);
        self.counts(schema, ["minProperties", "maxProperties"], place, rules);
        self.dependencies(schema, "dependencies", [true, true], place, rules);
        self.dependencies(schema, "dependentRequired", [true, false], place, rules);
        self.dependencies(schema, "dependentSchemas", [false, true], place, rules);
    }

    /// `properties`, `patternProperties` and `additionalProperties`, which depend on each other.
    fn properties(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        let mut group = Document::new();
        if let Some(members) = self.read(schema, "properties", place, values::object) {
            group.insert("properties", self.named_properties(members, &place.at("properties")));
        }
        if let Some(members) = self.read(schema, "patternProperties", place, values::object) {
            group.insert("patternProperties", self.pattern_properties(members, &place.at("patternProperties")));
        }
        match schema.get("additionalProperties") {
            None | Some(Bson::Boolean(true)) => {}
            Some(others) => {
                let translated = self.or_false(others, &place.at("additionalProperties").inner_value());
                group.insert("additionalProperties", translated);
                if place.is_root {
                    allow_own_fields(&mut group);
                }
            }
        }
        rules.put_together(group);
    }

    fn named_properties(&mut self, members: &Document, place: &SchemaPlace) -> Document {
        let mut translated = Document::new();
        for (name, schema) in members {
            let property = place.at(name);
            self.accept(&property, property_name(name, place));
            translated.insert(name, self.subschema(schema, &property.inner_value()));
        }
        translated
    }

    fn pattern_properties(&mut self, members: &Document, place: &SchemaPlace) -> Document {
        let mut translated = Document::new();
        for (pattern, schema) in members {
            let property = place.at(pattern);
            let read =
                if place.is_root { self.patterns.read_sparing_revision(pattern) } else { self.patterns.read(pattern) };
            let enforced = self.accept(&property, read);
            let schema = self.subschema(schema, &property.inner_value());
            translated.extend(enforced.map(|enforced| (enforced, schema.into())));
        }
        translated
    }

    /// A schema or `false`, where MongoDB accepts that too and then reports which properties or items are too many.
    pub(super) fn or_false(&mut self, schema: &Bson, place: &SchemaPlace) -> Bson {
        if matches!(schema, Bson::Boolean(false)) { Bson::Boolean(false) } else { self.subschema(schema, place).into() }
    }

    fn required(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        if let Some(listed) = self.read(schema, "required", place, |value| values::filled_list(value, "names")) {
            let names = self.names(listed, &place.at("required"));
            if !names.is_empty() {
                rules.put("required", names);
            }
        }
    }

    /// The property names in a list.
    fn names(&mut self, listed: &[Bson], place: &SchemaPlace) -> Vec<String> {
        let (mut names, mut known) = (Vec::new(), HashSet::new());
        for (index, name) in listed.iter().enumerate() {
            let read = values::text(name).and_then(|name| {
                property_name(name, place)?;
                if !known.insert(name) {
                    return Err(Invalid::new("invalid_value", "must not be listed twice"));
                }
                Ok(name.to_owned())
            });
            names.extend(self.accept(&place.item(index), read));
        }
        names
    }

    /// What must be present, or must match, when a property is present. `takes` says whether lists of names are
    /// allowed, and whether schemas are.
    fn dependencies(
        &mut self,
        schema: &Document,
        keyword: &str,
        takes: [bool; 2],
        place: &SchemaPlace,
        rules: &mut Rules,
    ) {
        let Some(members) = self.read(schema, keyword, place, values::object) else {
            return;
        };
        let place = place.at(keyword);
        let mut translated = Document::new();
        for (name, value) in members {
            let dependency = place.at(name);
            self.accept(&dependency, property_name(name, &place));
            match (value, takes) {
                (Bson::Array(_), [true, _]) | (_, [true, false]) => {
                    let listed = self.accept(&dependency, values::list(value, "names")).unwrap_or_default();
                    let names = self.names(listed, &dependency);
                    // An empty list requires nothing, and MongoDB refuses it.
                    if !names.is_empty() {
                        translated.insert(name, names);
                    }
                }
                (value, _) => {
                    translated.insert(name, self.subschema(value, &dependency.same_value()));
                }
            }
        }
        if !translated.is_empty() {
            rules.put("dependencies", translated);
        }
    }
}

/// Checks a property name. MongoDB reads a dot as a path, and aborts when it must explain a rule about a property with
/// an empty name.
fn property_name(name: &str, place: &SchemaPlace) -> Result<(), Invalid> {
    let refuse = |detail| Err(Invalid::new("unsupported_name", detail));
    if place.is_root && name == REVISION {
        return Err(Invalid::new("reserved_field", format!("must not speak of {REVISION}, which is the server's own")));
    }
    if name.is_empty() {
        return refuse("must not be empty: MongoDB cannot check such a property");
    }
    if name.contains('.') {
        return refuse("must not have a dot: MongoDB would read it as a path");
    }
    if name.contains('\0') {
        return refuse("must not contain a NUL character");
    }
    Ok(())
}

/// Allows every document's own fields: the identifier, unless the client restricts it, and the revision.
fn allow_own_fields(group: &mut Document) {
    let mut properties = group.get_document("properties").cloned().unwrap_or_default();
    for own in ["_id", REVISION] {
        if !properties.contains_key(own) {
            properties.insert(own, doc! {});
        }
    }
    group.insert("properties", properties);
}
