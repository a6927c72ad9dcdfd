//! The JSON schema of 2.5 answers, held against what we answer.

use jsonschema::Validator;
use serde_json::Value;
use std::path::PathBuf;

/// What 2.6 added to bids: the schema of 2.5 refuses every key that it does not know.
const NEW_IN_2_6: [&str; 6] = ["mtype", "dur", "cattax", "apis", "langb", "slotinpod"];

/// The JSON schema of 2.5 answers; `None` (said aloud) where the shared folder is not there.
pub fn schema() -> Option<Validator> {
    let shared = std::env::var("OUTBID_SHARED").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("schemas/response-2.5.schema.json");
    let Ok(schema) = std::fs::read_to_string(&path) else {
        println!("SKIPPED the schema: {} is not there (set OUTBID_SHARED)", path.display());
        return None;
    };
    let schema = serde_json::from_str(&schema).expect("a schema");
    Some(jsonschema::draft4::new(&schema).expect("a schema"))
}

/// The answer as it stands once its macros are replaced: with them its notice URLs are none yet.
fn filled(response: &Value) -> Value {
    let (mut out, text) = (String::new(), response.to_string());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        out = out + before + "1";
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    serde_json::from_str(&(out + rest)).expect("JSON, as it was")
}

/// Why the answer is not one of 2.5, once what 2.6 added is taken off.
pub fn schema_faults(schema: &Validator, response: &Value) -> Vec<String> {
    let mut response = filled(response);
    for seat in response["seatbid"].as_array_mut().into_iter().flatten() {
        for bid in seat["bid"].as_array_mut().into_iter().flatten() {
            let Some(bid) = bid.as_object_mut() else { continue };
            // Ours in simulation mode, under a name of our own, as `ext` is for.
            bid.remove("ext");
            NEW_IN_2_6.iter().for_each(|key| drop(bid.remove(*key)));
        }
    }
    schema.iter_errors(&response).map(|fault| format!("schema: {fault}")).collect()
}
