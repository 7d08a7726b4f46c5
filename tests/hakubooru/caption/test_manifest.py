"""What an export keeps of a caption is what the changes of training need."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from hakubooru.caption import CaptionChange, Captioner
from pictures import picture, write_tar


def test_an_exported_caption_is_changed_among_its_general_tags(booru, tmp_path):
    tags = "1girl bespin long_hair solo o_o highres"
    db = booru({n: (tags, {"rating": "explicit"}) for n in (1, 2, 3)})
    write_tar(tmp_path / "images" / "data-0001.tar", {"1.webp": picture(1, "webp")})
    db.posts.export(tmp_path / "out", images=tmp_path / "images", caption="kohaku-epsilon")
    rows = pq.read_table(tmp_path / "out" / "manifest.parquet", columns=["caption", "parts"]).to_pylist()

    assert [json.loads(row["parts"]) if row["parts"] else None for row in rows] == [
        next(Captioner(db).captioned(db.posts.to_ids())).parts,
        None,
        None,
    ]
    change = CaptionChange(drop_tags=0.5, drop_parts={"rating": 1})
    words = change(rows[0]["caption"], 3, json.loads(rows[0]["parts"])).split(", ")
    assert words[:2] == ["1girl", "bespin"]
    assert words[-3:] == ["worst quality", "old", "highres"]
    assert set(words[2:-3]) < {"long hair", "solo", "o_o"}
