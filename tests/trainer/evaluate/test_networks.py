"""Networks: from folders, from the Hub's cache, from the Hub, and wrong ones."""

from __future__ import annotations

import io
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from hakubooru.errors import ModelError
from hakubooru_trainer.evaluate.ccip import DEVIATION, FILES, MEAN, Ccip
from hakubooru_trainer.evaluate.extraction import picture_of
from hakubooru_trainer.evaluate.networks import network_files
from hakubooru_trainer.evaluate.options import TagOptions
from hakubooru_trainer.evaluate.pictures import Picture
from hakubooru_trainer.evaluate.tagger import Tagger
from onnx_networks import write_ccip, write_tagger


def silent(text):
    pytest.fail(text)


def triangles(size, length):
    """The weights of bilinear resizing, (length, size): triangles as wide as two pixels of the coarser side, cut off at the edges."""
    scale = size / length
    middles = (np.arange(length) + 0.5) * scale
    apart = np.abs(np.arange(size) + 0.5 - middles[:, None]) / max(scale, 1)
    weights = np.maximum(1 - apart, 0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(70, 50), pytest.param((600, 900), marks=pytest.mark.slow)])
def test_pictures_are_prepared_as_ccips_authors_do(ccip_folder, size):
    """On white, bilinear to 384 x 384, from 0 to 1, by CLIP's mean and deviation: worked out without Pillow."""
    draw = np.random.default_rng(1)
    width, height = size
    pixels = draw.integers(0, 256, (height, width, 4), np.uint8)
    pixels[: height // 2, :, 3] = 0
    alpha = pixels[:, :, 3:] / 255
    on_white = pixels[:, :, :3] * alpha + 255 * (1 - alpha)
    small = np.einsum(
        "yh,hwc,xw->cyx", triangles(height, 384), on_white, triangles(width, 384), optimize=True
    )
    expected = (small / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(DEVIATION, (3, 1, 1))
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG")
    prepared = Ccip(str(ccip_folder), silent).prepared(picture_of(file.getvalue()))
    assert prepared.dtype == np.float32
    assert prepared.shape == (3, 384, 384)
    # Pillow rounds to a 255th after each of its three steps.
    np.testing.assert_allclose(prepared, expected, atol=2 / 255 / min(DEVIATION))
    assert (prepared[:, :100] == prepared[:, :1, :1]).all()  # what is transparent is white


def test_clips_mean_and_deviation_are_those_that_openai_published():
    assert MEAN == (0.48145466, 0.4578275, 0.40821073)
    assert DEVIATION == (0.26862954, 0.26130258, 0.27577711)


def test_features_and_differences_are_the_networks_own(ccip_folder):
    ccip = Ccip(str(ccip_folder), silent)
    colours = [(255, 0, 0), (0, 255, 0), (250, 0, 0)]
    pictures = np.stack([ccip.prepared(Image.new("RGB", (9, 9), colour)) for colour in colours])
    features = ccip.features(pictures)
    assert features.shape == (3, 768)
    np.testing.assert_allclose(features[:, :3], np.array(colours) / 255, atol=2e-4)
    plain = onnxruntime.InferenceSession(str(ccip_folder / "model_feat.onnx"))
    np.testing.assert_array_equal(features, plain.run(["output"], {"input": pictures})[0])
    np.testing.assert_allclose(ccip.differences(features)[0], [0, 2**0.5, 5 / 255], atol=4e-4)
    assert ccip.threshold == 0.1


def test_wrong_networks_are_refused_in_words(tmp_path, ccip_folder):
    for change, part in (
        (lambda folder: (folder / "metrics.json").unlink(), r"has no metrics\.json; name a folder with model_feat"),
        (lambda folder: (folder / "metrics.json").write_text("{}"), r"gives no threshold \(KeyError"),
        (lambda folder: (folder / "metrics.json").write_text('{"threshold": 2}'), "threshold 2.0, which is not between"),
        (lambda folder: (folder / "model_feat.onnx").write_bytes(b"\x08"), "cannot be read as a network in ONNX form"),
        (
            lambda folder: write_tagger(folder, {"1girl": ("0", 0)})
            and (folder / "model.onnx").replace(folder / "model_feat.onnx"),
            "has the inputs input_1:0 and the outputs predictions_sigmoid, not input and output",
        ),
    ):  # fmt: skip
        folder = write_ccip(tmp_path / "wrong")
        change(folder)
        with pytest.raises(ModelError, match=part):
            Ccip(str(folder), silent)
    ccip = Ccip(str(ccip_folder), silent)
    with pytest.raises(ModelError, match=r"cannot take an array of the shape \(2, 3, 9, 9\)"):
        ccip.features(np.zeros((2, 3, 9, 9), np.float32))
    with pytest.raises(ModelError, match="numbers that are not finite"):
        ccip.features(np.full((1, 3, 384, 384), np.nan, np.float32))
    with pytest.raises(
        ModelError, match=r"the shape \(2, 2\) for 2 pictures, or numbers that are not finite"
    ):
        ccip.differences(np.full((2, 768), np.nan, np.float32))


def test_fingerprints_follow_contents(tmp_path, ccip_folder):
    same, other = write_ccip(tmp_path / "same"), write_ccip(tmp_path / "other", threshold=0.2)
    prints = [Ccip(str(folder), silent).fingerprint for folder in (ccip_folder, same, other)]
    assert prints[0] == prints[1] != prints[2]


def picture(*tags):
    return Picture("pictures/0.png", 0, 0, "", tags, 0, 64, 64)


def test_a_tagger_says_which_tags_are_in_a_picture(tmp_path):
    """Tags of one channel each: red for a girl, blue for Miku; green is not asked for."""
    folder = write_tagger(tmp_path, {"1girl": ("0", 0), "solo": ("0", 1), "hatsune_miku": ("4", 2)})
    tagger = Tagger(TagOptions(model=str(folder)), silent)
    subject = picture("1girl", "hatsune_miku", "vocaloid")
    rows = [
        tagger.kept(subject, tagger.features(tagger.prepared(Image.new("RGB", (40, 40), colour))[None])[0])
        for colour in ("#ff0000", "#0000ff", "#ffffff")
    ]
    assert [tagger.seen(subject, row) for row in rows] == [
        {"1girl": True, "hatsune_miku": False},
        {"1girl": False, "hatsune_miku": True},
        {"1girl": False, "hatsune_miku": False},
    ]
    assert np.isnan(rows[0][2])


def test_a_tagger_gets_a_white_square_with_blue_first(tmp_path):
    tagger = Tagger(TagOptions(model=str(write_tagger(tmp_path, {"1girl": ("0", 0)}))), silent)
    values = tagger.prepared(Image.new("RGB", (16, 32), (10, 20, 30)))
    assert values.shape == (32, 32, 3)
    assert values[16, 16].tolist() == [30, 20, 10]
    assert values[16, 0].tolist() == [255, 255, 255]


def test_wrong_taggers_are_refused_in_words(tmp_path, ccip_folder):
    folder = write_tagger(tmp_path / "a", {"1girl": ("0", 0)})
    small = Tagger(TagOptions(model=str(folder)), silent)
    (folder / "selected_tags.csv").write_text("name,category\n1girl,0\nsolo,0\n")
    tagger = Tagger(TagOptions(model=str(folder)), silent)
    with pytest.raises(ModelError, match=r"an array of the shape \(1, 1\) for 2 tags"):
        tagger.features(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(ModelError, match=r"numbers that are not finite; name another model in tags\.model"):
        small.features(np.full((1, 32, 32, 3), np.nan, np.float32))
    (folder / "selected_tags.csv").write_text("tag\n1girl\n")
    with pytest.raises(ModelError, match="no list of tags with the columns name and category"):
        Tagger(TagOptions(model=str(folder)), silent)
    (folder / "selected_tags.csv").write_text("name,category\n")
    with pytest.raises(ModelError, match="lists no tags"):
        Tagger(TagOptions(model=str(folder)), silent)
    (folder / "model.onnx").write_bytes((ccip_folder / "model_feat.onnx").read_bytes())
    with pytest.raises(ModelError, match=r"and WD14's taggers \(N, side, side, 3\)"):
        Tagger(TagOptions(model=str(folder)), silent)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "nowhere", "~/none", "a b/c"])
def test_names_that_are_neither_folders_nor_models_are_refused(name):
    with pytest.raises(ModelError, match=r"is neither a folder nor a model on the Hub|is no name of a model"):
        network_files(name, FILES, "score.model", silent)


COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """Serves a folder's files as those of some/ccip/inside, as far as downloading one goes."""

    def do_HEAD(self):
        self._answer(send=False)

    def do_GET(self):
        self._answer(send=True)

    def log_message(self, *args):
        pass

    def _answer(self, *, send):
        self.server.requests.append(self.path)
        path = self.server.folder / self.path.rpartition("/")[2]
        if "/some/ccip/resolve/main/inside/" not in self.path or not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{path.name}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if send:
            self.wfile.write(data)


@contextmanager
def hub(folder, monkeypatch, cache):
    from huggingface_hub import constants, file_download

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.folder, server.requests = folder, []
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        if hasattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE"):  # before version 1 it was imported by name
            monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(
            time, "sleep", lambda seconds: None
        )  # the library tries six times, and waits in between
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_model_comes_from_the_hub_once(ccip_folder, monkeypatch, tmp_path):
    sentences = []
    with hub(ccip_folder, monkeypatch, tmp_path) as server:
        ccip = Ccip("some/ccip/inside", sentences.append)
        assert ccip.fingerprint == Ccip(str(ccip_folder), silent).fingerprint
        assert ccip.files.repository == "some/ccip"
        count = len(server.requests)
        Ccip("some/ccip/inside", silent)  # says nothing, and asks for nothing
        assert len(server.requests) == count
    assert sentences == [
        "downloading inside/model_feat.onnx, inside/model_metrics.onnx, inside/metrics.json from https://huggingface.co/some/ccip"
    ]
    Ccip("some/ccip/inside", silent)  # nobody listens any more


def test_without_a_network_the_message_says_how_to_fetch_it(ccip_folder, monkeypatch, tmp_path):
    with hub(ccip_folder, monkeypatch, tmp_path) as server:
        pass
    assert server.requests == []
    with pytest.raises(ModelError) as error:
        network_files("some/ccip/inside", FILES, "score.model", lambda text: None)
    assert "inside/model_feat.onnx of some/ccip is not in the Hub's cache and could not be downloaded" in str(
        error.value
    )
    assert (
        "run: hf download some/ccip inside/model_feat.onnx inside/model_metrics.onnx inside/metrics.json --local-dir FOLDER, "
        "copy FOLDER here, and name FOLDER/inside in score.model"
    ) in str(error.value)
    assert json.dumps(str(error.value))
