#!/usr/bin/env bash
# Pillow: where EXIF has no orientation, getexif and exif_transpose take one from XMP (tiff:Orientation), in JPEG, PNG, WebP and AVIF. OpenCV, which turns images by EXIF, does not, nor does imagesize: the size that is
# written down for buckets is that of the picture on its side. An upright picture whose EXIF was removed, and whose XMP was left is turned. Expected: EXIF alone counts; CIPA's DC-008 has the orientation there.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pillow==13.0.0 opencv-python-headless==5.0.0.93 imagesize==2.0.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import cv2, imagesize, PIL
from importlib.metadata import version
from pathlib import Path
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

folder = Path(sys.argv[1])
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
texts = PngInfo()
texts.add_itxt("XML:com.adobe.xmp", XMP)
image, exif = Image.new("RGB", (40, 24)), Image.Exif()
exif[0x0112] = 6
image.save(folder / "exif.jpg", exif=exif)
image.save(folder / "xmp.jpg", xmp=XMP.encode())
image.save(folder / "xmp.png", pnginfo=texts)
image.save(folder / "xmp.webp", xmp=XMP.encode())
image.save(folder / "xmp.avif", xmp=XMP.encode())
print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "imagesize", version("imagesize"), "widths and heights by each:")
for name in ("exif.jpg", "xmp.jpg", "xmp.png", "xmp.webp", "xmp.avif"):
    with Image.open(folder / name) as opened:
        upright = ImageOps.exif_transpose(opened).size
    by_opencv = cv2.imread(str(folder / name)).shape[1::-1]
    counted = imagesize.get(folder / name)
    print(f"  {name}: {upright}, {by_opencv}, {counted}")
    assert upright == (24, 40), name
    assert by_opencv == counted == ((24, 40) if name == "exif.jpg" else (40, 24)), (name, by_opencv, counted)
PYTHON
