//! The table's part about what native requests ask for.

use super::rows::Base::{NativeParts, NativeSides};
use super::rows::Effect::NoBid;
use super::rows::{Row, row};
use serde_json::{Value, json};

/// A native placement that requires each kind of part, its image like `img`.
pub fn native_parts(img: &Value) -> Value {
    let assets = json!([
        { "id": 1, "required": 1, "title": { "len": 90 } },
        { "id": 2, "required": 1, "img": img },
        { "id": 3, "required": 1, "data": { "type": 2, "len": 90 } },
        { "id": 4, "required": 1, "video": { "mimes": ["video/mp4"] } },
        { "id": 5, "required": 0, "title": { "len": 1 } },
    ]);
    json!({ "request": { "assets": assets } })
}

/// More of [`super::rows::ROWS`].
pub const NATIVE_ROWS: &[Row] = &[
    row(
        "NativeRequest.assets",
        NativeParts,
        &["/imp/0/native/request/assets"],
        "[]",
        NoBid("no_creative_fits"),
    ),
    row(
        "Asset.id",
        NativeParts,
        &["/imp/0/native/request/assets/0/id"],
        "null",
        NoBid("no_creative_fits"),
    ),
    row(
        "Asset.required",
        NativeParts,
        &["/imp/0/native/request/assets/4/required"],
        "1",
        NoBid("no_creative_fits"),
    ),
    row(
        "Asset.title",
        NativeParts,
        &["/imp/0/native/request/assets/1/title"],
        r#"{"len":1}"#,
        NoBid("no_creative_fits"),
    ),
    row(
        "Asset.img",
        NativeParts,
        &["/imp/0/native/request/assets/2/img"],
        r#"{"type":3,"w":7}"#,
        NoBid("no_creative_fits"),
    ),
    row(
        "Asset.data",
        NativeParts,
        &["/imp/0/native/request/assets/2/data"],
        r#"{"type":9}"#,
        NoBid("no_creative_fits"),
    ),
    row(
        "Asset.video",
        NativeParts,
        &["/imp/0/native/request/assets/3/video"],
        "null",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetTitle.len",
        NativeParts,
        &["/imp/0/native/request/assets/0/title/len"],
        "1",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetImage.type",
        NativeParts,
        &["/imp/0/native/request/assets/1/img/type"],
        "501",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetImage.w",
        NativeSides,
        &["/imp/0/native/request/assets/1/img/w"],
        "7",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetImage.h",
        NativeSides,
        &["/imp/0/native/request/assets/1/img/h"],
        "7",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetImage.wmin",
        NativeParts,
        &["/imp/0/native/request/assets/1/img/wmin"],
        "1201",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetImage.hmin",
        NativeParts,
        &["/imp/0/native/request/assets/1/img/hmin"],
        "628",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetImage.mimes",
        NativeParts,
        &["/imp/0/native/request/assets/1/img/mimes"],
        r#"["image/webp"]"#,
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetText.type",
        NativeParts,
        &["/imp/0/native/request/assets/2/data/type"],
        "9",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetText.len",
        NativeParts,
        &["/imp/0/native/request/assets/2/data/len"],
        "1",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetVideo.mimes",
        NativeParts,
        &["/imp/0/native/request/assets/3/video/mimes"],
        r#"["video/webm"]"#,
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetVideo.minduration",
        NativeParts,
        &["/imp/0/native/request/assets/3/video/minduration"],
        "16",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetVideo.maxduration",
        NativeParts,
        &["/imp/0/native/request/assets/3/video/maxduration"],
        "14",
        NoBid("no_creative_fits"),
    ),
    row(
        "AssetVideo.protocols",
        NativeParts,
        &["/imp/0/native/request/assets/3/video/protocols"],
        "[1]",
        NoBid("no_creative_fits"),
    ),
];
