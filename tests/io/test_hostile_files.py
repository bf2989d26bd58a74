"""Files that `benchmarks/fuzz.py` has found to crash, hang or ask for too much: each is refused."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import body, ct_slice, write_series
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGExtended12Bit, JPEGLSLossless, RLELossless

from renalis.errors import InputError
from renalis.io import dicom_pixels, find_scans, read_scan
from renalis.io.archive import FolderFiles
from renalis.io.codestream import check_codestreams
from renalis.io.itk import stored_values
from renalis.io.jpeg2000_stream import jpeg2000_size
from renalis.io.jpeg_stream import jpeg_size
from renalis.io.read_labels import read_label_map
from renalis.io.segments import dicom_seg

META = {
    "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "0 0 0", "ElementSpacing": "0.8 0.8 3",
    "DimSize": "4 5 6", "ElementType": "MET_SHORT",
}  # fmt: skip


def meta_image(path: Path, **fields: str) -> Path:
    """A MetaImage file; a field may be given twice with a line break between its values."""
    pytest.importorskip("SimpleITK")
    lines = [f"{key} = {line}" for key, value in {**META, **fields}.items()
             for line in value.split("\n")]  # fmt: skip
    head = "\n".join([*lines, "ElementDataFile = LOCAL", ""]).encode()
    path.write_bytes(head + np.arange(-600, 600, 10, "<i2").tobytes())
    return path


def test_a_length_beyond_the_file_makes_no_room(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x" * 100_000)
    with FolderFiles(tmp_path).open("a.dcm") as file:
        file.seek(10)
        assert file.read(1 << 60) == b"x" * 99_990
        assert file.read(1 << 60) == b""


def test_a_zip_with_a_member_without_a_name_is_read(tmp_path: Path) -> None:
    write_series(tmp_path / "s", body(3))
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        nameless = zipfile.ZipInfo("x")
        nameless.filename = ""
        archive.writestr(nameless, b"x")
        for path in (tmp_path / "s").iterdir():
            archive.write(path, path.name)
    assert read_scan(tmp_path / "s.zip").volume.shape == (32, 24, 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"NDims": " ".join(["65536"] * 9), "ElementType": "-1"}, "damaged header"),
        ({"NDims": "65536"}, "damaged header"),
        ({"ElementType": "MET_OTHER"}, "damaged header"),
        ({"DimSize": "4 5 -6"}, "damaged header"),
        ({"Offset": "a" * 5000}, "damaged header"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 " + "a" * 5000}, "damaged header"),
        ({"ElementSpacing": "1 1 " + "1" * 5000}, "damaged header"),
        ({"AnatomicalOrientation": "a" * 5000}, "damaged header"),
        ({"DimSize": "4 5"}, "how large it is"),
        ({"DimSize": "4 5 6\n4 5 600"}, "twice and differently"),
        ({"DimSize": "1290 1290 1290", "CompressedData": "True"}, "cut short"),
    ],
    ids=[
        *("crash", "axes", "type", "negative", "offset", "matrix", "spacing", "orientation"),
        *("too few", "two sizes", "more than deflate can"),
    ],
)
@pytest.mark.parametrize("read", [read_scan, read_label_map])
def test_a_meta_image_that_itk_would_take_at_its_word_is_refused(
    tmp_path: Path, fields: dict[str, str], words: str, read
) -> None:
    with pytest.raises(InputError, match=words):
        read(meta_image(tmp_path / "a.mha", **fields))


@pytest.mark.parametrize(
    "field",
    [
        *("space", "endian", "kinds", "centerings", "space directions", "space origin"),
        *("measurement frame", "thicknesses", "axis mins", "space units"),
    ],
)
def test_a_nrrd_whose_words_are_longer_than_the_room_for_them_is_refused(
    tmp_path: Path, field: str
) -> None:
    pytest.importorskip("SimpleITK")
    fields = {
        "type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "4 5 6",
        "space directions": "(0.8,0,0) (0,0.8,0) (0,0,3)", "kinds": "domain domain domain",
        "centerings": "cell cell cell", "endian": "little", "encoding": "raw",
        "space origin": "(0,0,0)",
    }  # fmt: skip
    voxels = np.arange(-600, 600, 10, "<i2").tobytes()

    def written(name: str) -> Path:
        lines = ["NRRD0004", *(f"{key}: {value}" for key, value in fields.items()), "", ""]
        (tmp_path / name).write_bytes("\n".join(lines).encode() + voxels)
        return tmp_path / name

    assert read_scan(written("plain.nrrd")).volume.shape == (4, 5, 6)
    fields[field] = "a" * 5000
    with pytest.raises(InputError, match=f"damaged header \\({field.replace(' ', '')}: aaa"):
        read_scan(written("long.nrrd"))


def test_a_plain_meta_image_is_read(tmp_path: Path) -> None:
    path = meta_image(tmp_path / "a.mha", Comment="x\ny")
    assert read_scan(path).volume.shape == (4, 5, 6)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_picture_much_larger_than_its_header_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: pydicom.uid.UID
) -> None:
    def change(data: Dataset, index: int) -> None:
        data.compress(syntax, generate_instance_uid=False)
        pixels = bytearray(data.PixelData)
        if syntax == JPEG2000Lossless:
            place, size = pixels.index(b"\xff\x4f\xff\x51") + 8, 4
        else:
            place, size = pixels.index(b"\xff\xf7") + 5, 2
        for at in (place, place + size):
            pixels[at : at + size] = (60_000).to_bytes(size, "big")
        data.PixelData = bytes(pixels)

    write_series(tmp_path, np.repeat(np.repeat(body(3), 3, 1), 2, 2), change=change)
    monkeypatch.setattr(dicom_pixels, "pixel_array", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(InputError, match="cannot be decoded, so it is probably damaged"):
        read_scan(tmp_path)


TABLE = "ffc4 0014 00 00010000000000000000000000000000 05"
GREY = f"ffd8 {{}} ffc3000b10 0200 0180 01 011100 {TABLE} {{}} ffda0008010100000000"


def test_the_size_of_streams_is_read_from_their_headers() -> None:
    assert jpeg_size(bytes.fromhex(GREY.format("", ""))) == (512, 384)
    comments = "ffff fffe 0004 ffff", "ffe0 0002"
    assert jpeg_size(bytes.fromhex(GREY.format(*comments))) == (512, 384)
    assert jpeg_size(b"\xff\xff" + bytes.fromhex(GREY.format(*comments))) == (512, 384)


@pytest.mark.parametrize(
    "stream",
    [
        GREY.format("", "").replace("000b", "000c"),
        GREY.format("", "").replace("0180 01", "0180 03"),
        GREY.format("ffc3000b10 0200 0180 01 011100", ""),
        GREY.format("", "").replace("ffda000801", "ffda000a02"),
        GREY.format("00", ""),
        GREY.format("", "").replace("ffc4", "ff00"),
        GREY.format("", "").replace("0014 00", "0014 01"),
        GREY.format("", "").replace("0014 00", "0014 20"),
        GREY.format("", "").replace("000100", "000900"),
        GREY.format("", "").replace("0200 0180", "0000 0180"),
        GREY.format("", "").replace("ffc3", "ffc2"),
        GREY.format("", "").replace("000b10", "000b11"),
        GREY.format("ffde000b10 0200 0180 01 011100", ""),
        GREY.format("", "") + "1234 ffdc00040200 ffd9",
        GREY.format("", "") + "1234 ffff c3000b10 0200 0180 01 011100 ffd9",
        GREY.format("", "") + "1234 ffda0008010100000000 ffd9",
        "ffd8 ffda00080101000000000000",
        "ffd8",
        "0000",
    ],
    ids=[
        "length",
        "colors",
        "two frames",
        "two components",
        "rubbish",
        "no table",
        "other table",
        "unknown table",
        "long table",
        "size later",
        "progressive",
        "17 bits",
        "hierarchical",
        "size after the scan",
        "frame after the scan",
        "two scans",
        "no frame",
        "nothing",
        "no picture",
    ],
)
def test_a_jpeg_with_headers_over_which_gdcm_ends_the_program_is_refused(stream: str) -> None:
    with pytest.raises(ValueError, match=r"header|marker|scan"):
        jpeg_size(bytes.fromhex(stream))


def test_stuffed_bytes_and_restarts_of_a_scan_are_no_headers() -> None:
    scan = "12 ff00c3 ffd0 ff00 ffffd9 ffc3"  # what follows the end is not looked at
    assert jpeg_size(bytes.fromhex(GREY.format("", "") + scan)) == (512, 384)
    bits = "ffd8 fff7000b10 0200 0180 01 011100 {} ffda0008010100000000 ff77 ff00 ffd9"
    assert jpeg_size(bytes.fromhex(bits.format("fff8000d 01 0fff 0012 0043 0114 0040"))) == (
        (512, 384)
    )
    for lse in ("fff8000c 04 04 00011170 00004e20", "fff80004 0200", "fff8000d 04" + "00" * 10):
        with pytest.raises(ValueError, match="LSE"):
            jpeg_size(bytes.fromhex(bits.format(lse)))


SIZED = ["ff4fff51", "0029", "0000", "00000188", "00000200", "00000008", "00000000",
         "00000180", "00000200", "00000000", "00000000", "0001", "0f0101"]  # fmt: skip


def test_the_size_of_jpeg_2000_is_read_in_codestreams_and_in_files() -> None:
    stream = bytes.fromhex("".join(SIZED))
    assert jpeg2000_size(stream) == (512, 384)
    before = bytes.fromhex("0000000c6a5020200d0a870a 0000000c6a70326800000008 00000000 6a703263")
    before = before.replace(b"jp2h", b"rreq")[:-16] + bytes.fromhex("0000000a") + b"jp2h"
    palette = before[:-8] + (16).to_bytes(4, "big") + b"jp2h" + b"\0\0\0\x08%s"
    end = b"\0\0\0\0jp2c" + stream
    assert jpeg2000_size(palette % b"colr" + end) == (512, 384)
    with pytest.raises(ValueError, match="palette"):
        jpeg2000_size(palette % b"pclr" + end)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((1, "002a"), (3, "00000008"), (3, "ffffffff"), (5, "00000188"), (6, "00000201")),
        *((7, "00000001"), (7, "00000000"), (9, "00000009"), (11, "0002"), (12, "0f0201")),
        *((0, "ff4fff30"), (0, "00000000")),
    ],
)
def test_a_jpeg_2000_whose_size_header_is_not_that_of_a_ct_is_refused(
    place: int, value: str
) -> None:
    words = list(SIZED)
    words[place] = value
    with pytest.raises(ValueError, match=r"header|tiles"):
        jpeg2000_size(bytes.fromhex("".join(words)))


STYLE = "ff52 {:04x} 01 00 {:04x} 00 05 04 04 00 01"


@pytest.mark.parametrize("in_tile_part", [False, True])
def test_a_jpeg_2000_of_very_many_precincts_is_refused(in_tile_part: bool) -> None:
    part = "ff90 000a 0000 {} 00 01"  # a tile-part's begin, with its length or until the end
    last, data = part.format("00000000"), "ff93 aaaa"
    before = part.format("00000010") + data + last if in_tile_part else ""
    start = bytes.fromhex("".join(SIZED) + before)
    end = bytes.fromhex(data if in_tile_part else last + data)

    def styled(layers: int, precincts: str) -> bytes:
        length = 12 + len(precincts) // 2
        return start + bytes.fromhex(STYLE.format(length, layers) + precincts) + end

    assert jpeg2000_size(styled(1, "778888888888")) == (512, 384)
    for layers, precincts in ((1, "001111111111"), (65535, "333333333333")):
        with pytest.raises(ValueError, match=f"precincts in {layers} layers"):
            jpeg2000_size(styled(layers, precincts))
    with pytest.raises(ValueError, match="style header is damaged"):
        jpeg2000_size(styled(1, "77"))
    with pytest.raises(ValueError, match="other headers"):  # after which OpenJPEG finds SIZ or COD
        jpeg2000_size(start + b"\xff\x30\0\2" + end)


def framed(frames: list[list[bytes]], table: bool, extended: bool = False) -> Dataset:
    """A JPEG-LS file of frames of 64 × 64, each of fragments."""
    parts = [[part + b"\0" * (len(part) % 2) for part in frame] for frame in frames]
    items = [
        b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(part)) + part for part in frame)
        for frame in parts
    ]
    starts = [sum(map(len, items[:n])) for n in range(len(items))]
    offsets = struct.pack(f"<{len(starts)}I", *starts) if table else b""
    data = ct_slice(np.zeros((64, 64), np.int16), (0, 0, 0), NumberOfFrames=len(frames))
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data.PixelData = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(offsets)) + offsets
    data.PixelData += b"".join(items)
    if extended:
        data.ExtendedOffsetTable = struct.pack(f"<{len(starts)}Q", *starts)
        lengths = [len(item) - 8 for item in items]
        data.ExtendedOffsetTableLengths = struct.pack(f"<{len(starts)}Q", *lengths)
    return data


LS = bytes.fromhex("ffd8 fff7000b08 0040 0040 01 011100 ffda0008010100000000 1234 ffd9")
OVERSIZE = b"\xff" + LS.replace(b"\x00\x40\x00\x40", b"\0\0\0\0").replace(
    b"\xff\xda", bytes.fromhex("fff8000c 04 04 00011170 00004e20 ffda")
)


@pytest.mark.parametrize("frames", [None, [0, 1]])
@pytest.mark.parametrize("tables", [(False, False), (True, False), (False, True)])
def test_every_frame_is_looked_at_from_its_first_byte(
    tables: tuple[bool, bool], frames: list[int] | None
) -> None:
    extended = tables[1]
    good = [LS] if extended else [LS[:10], LS[10:]]
    bad = [OVERSIZE] if extended else [OVERSIZE[:10], OVERSIZE[10:]]
    check_codestreams(framed([[LS], good], *tables), 64, 64, frames)
    with pytest.raises(ValueError, match="size open"):
        check_codestreams(framed([[LS], bad], *tables), 64, 64, frames)


def test_compressed_values_of_more_bits_than_gdcm_writes_are_refused() -> None:
    data = framed([[LS]], table=False)
    data.BitsAllocated = 32
    with pytest.raises(ValueError, match="32 bits"):
        check_codestreams(data, 64, 64)


def test_a_frame_that_an_offset_points_to_within_a_fragment_is_looked_at() -> None:
    inner = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(OVERSIZE)) + OVERSIZE
    data = framed([[LS], [LS + b"\0" * (len(LS) % 2) + inner]], table=True)
    at = data.PixelData.index(inner) - 16  # from the end of the table
    data.PixelData = data.PixelData[:12] + struct.pack("<I", at) + data.PixelData[16:]
    with pytest.raises(ValueError, match="size open"):
        check_codestreams(data, 64, 64, [0, 1])


def test_a_segmentation_whose_frames_are_other_pictures_is_refused_undecoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dicom_seg, "pixel_array", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="size open"):
        list(dicom_seg._frames(framed([[LS], [OVERSIZE]], table=False)))


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_file_that_is_dicom_as_well_is_read_in_the_format_of_its_name(
    tmp_path: Path, name: str
) -> None:
    pytest.importorskip("SimpleITK")
    head, fill = {
        "a.nrrd": ("NRRD0001\ntype: short\ndimension: 3\nsizes: 4 5 6\nencoding: raw\n"
                   "endian: little\n{}\n\n", "#"),
        "a.mha": ("NDims=3\nBinaryData=True\nDimSize=4 5 6\nElementType=MET_SHORT\n{}\n"
                  "ElementDataFile=LOCAL\n", "Comment="),
    }[name]  # fmt: skip
    data = ct_slice(body(3)[0], (0, 0, 0), SOPInstanceUID="1.2.3")
    pydicom.dcmwrite(tmp_path / "a.dcm", data, enforce_file_format=True)
    dicom = (tmp_path / "a.dcm").read_bytes()[128:]
    header = head.format(fill.ljust(128 - len(head) + 2, "x"))
    assert len(header) == 128
    (tmp_path / name).write_bytes(header.encode() + dicom)
    stored = np.frombuffer(dicom[:240], "<i2")
    assert np.array_equal(stored_values(tmp_path / name, bytes_only=False), stored)


def test_a_series_that_claims_more_than_any_scan_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, body(4))
    monkeypatch.setattr(dicom_pixels, "MOST_VOXELS", 24 * 32 * 4 - 1)
    with pytest.raises(InputError, match="claims 32 × 24 × 4 voxels, more than a CT scan can have"):
        read_scan(tmp_path)


def test_a_transfer_syntax_that_is_no_uid_is_refused(tmp_path: Path) -> None:
    """Its element says that it is a person's name."""
    for index in range(3):
        data = ct_slice(body(3)[index], (0, 0, 3 * index))
        data.SOPInstanceUID = f"1.2.3.{index}"
        path = tmp_path / f"{index}.dcm"
        pydicom.dcmwrite(path, data, enforce_file_format=True)
        content = path.read_bytes()
        at = content.index(b"\x02\x00\x10\x00UI") + 4
        path.write_bytes(content[:at] + b"PN" + content[at + 2 :])
    for source in find_scans([tmp_path]):
        with pytest.raises(InputError, match=r"dcm|CT"):
            read_scan(source)


def test_a_picture_that_is_no_jpeg_though_its_syntax_says_so_is_refused(tmp_path: Path) -> None:
    def change(data: Dataset, index: int) -> None:
        data.compress(RLELossless, generate_instance_uid=False)
        data.file_meta.TransferSyntaxUID = JPEGExtended12Bit
        data.BitsStored = 65535

    write_series(tmp_path, body(3), change=change)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_scan(tmp_path)


def test_a_unit_that_does_not_end_is_not_told_whole(tmp_path: Path) -> None:
    write_series(tmp_path, body(3), RescaleType="\\".join(["4294967296"] * 300))
    with pytest.raises(InputError) as refused:
        read_scan(tmp_path)
    assert len(str(refused.value)) < 300
