"""MetaImage and NRRD: every voxel where ITK itself says that it lies, and nothing else opened."""

from __future__ import annotations

import builtins
import itertools
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.errors import InputError
from renalis.io import find_scans, read_scan, write_labels
from renalis.pipeline.work import scan_facts
from renalis.volume import Kind

LPS = np.array([-1.0, -1.0, 1.0])
ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")
_AXES = np.eye(3)


def ct(shape=(5, 6, 7)) -> np.ndarray:
    """Noise in the range of HU, axes (z, y, x) as SimpleITK has them."""
    return np.random.default_rng(3).integers(-1000, 1500, shape).astype(np.int16)


def written(
    path: Path, array: np.ndarray, direction=_AXES, spacing=(0.7, 0.9, 3.0), packed=False
) -> sitk.Image:
    """Save with SimpleITK."""
    image = sitk.GetImageFromArray(array)
    image.SetDirection(np.asarray(direction, dtype=float).ravel().tolist())
    image.SetSpacing(spacing)
    image.SetOrigin((-101.5, -80.25, 20.125))
    sitk.WriteImage(image, str(path), useCompression=packed)
    return image


def assert_same_places(scan, image: sitk.Image) -> None:
    """Each voxel has the world coordinates that ITK gives it, and its value."""
    volume = scan.volume
    array = sitk.GetArrayFromImage(image)
    assert volume.shape == image.GetSize()
    assert np.array_equal(volume.array, np.maximum(array, -1024).T)
    corners = list(itertools.product(*[(0, n - 1) for n in image.GetSize()]))
    theirs = np.array([image.TransformIndexToPhysicalPoint(c) for c in corners]) * LPS
    assert np.abs(volume.world(np.array(corners)) - theirs).max() < 1e-9


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_as_itk_reads_it(tmp_path: Path, ending: str, packed: bool) -> None:
    image = written(tmp_path / f"case_00007{ending}", ct(), packed=packed)
    scan = read_scan(tmp_path / f"case_00007{ending}")
    assert scan.case_id == "case_00007"
    assert scan.volume.array.dtype == np.int16
    assert scan.volume.orientation == "LPS"
    assert scan.warnings == ()
    assert_same_places(scan, image)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_all_48_axis_orders(tmp_path: Path, ending: str) -> None:
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            direction = np.eye(3)[:, order] * signs
            image = written(tmp_path / f"x{ending}", ct(), direction)
            assert_same_places(read_scan(tmp_path / f"x{ending}"), image)


@given(
    ending=st.sampled_from(ENDINGS),
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 8)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_oblique(tmp_path_factory, ending: str, angles, spacing) -> None:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    path = tmp_path_factory.mktemp("o") / f"x{ending}"
    written(path, ct(), np.reshape(turn.GetMatrix(), (3, 3)), spacing)
    assert_same_places(read_scan(path), sitk.ReadImage(str(path)))


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_labels_lie_on_the_grid_of_the_input(tmp_path: Path, ending: str) -> None:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.1, 0.3)
    image = written(tmp_path / f"x{ending}", ct(), np.reshape(turn.GetMatrix(), (3, 3)))
    scan = read_scan(tmp_path / f"x{ending}")
    labels = np.zeros(scan.volume.shape, np.uint8)
    labels[2, 3, 4] = 1
    write_labels(tmp_path / "s.nii.gz", scan.volume.like(labels, Kind.LABELS), scan)
    back = nib.load(tmp_path / "s.nii.gz")
    assert back.shape == image.GetSize()
    place = back.affine @ [2, 3, 4, 1]
    assert np.allclose(place[:3], image.TransformIndexToPhysicalPoint((2, 3, 4)) * LPS, atol=1e-4)
    again = sitk.ReadImage(str(tmp_path / "s.nii.gz"))
    assert np.allclose(again.GetOrigin(), image.GetOrigin(), atol=1e-4)
    assert np.allclose(again.GetDirection(), image.GetDirection(), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_every_type_of_numbers(tmp_path: Path, dtype) -> None:
    array = np.maximum(ct().astype(np.int64), 0 if dtype == np.uint16 else -1024).astype(dtype)
    written(tmp_path / "x.nrrd", array)
    assert np.array_equal(read_scan(tmp_path / "x.nrrd").volume.array, array.T)


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nencoding: raw\nendian: little\n"
PLACE = "space directions: (0.7,0,0) (0,0.9,0.1) (0,0,3)\nspace origin: (10,20,30)\n"
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "DimSize = 7 6 5\nElementType = MET_SHORT\nElementSpacing = 0.7 0.9 3\n"
)
MATRIX = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 10 20 30\n"


def nrrd(path: Path, header: str, voxels: bytes | None = None) -> Path:
    path.write_bytes(header.encode() + b"\n" + (ct().tobytes() if voxels is None else voxels))
    return path


def meta(path: Path, header: str, place: str = "LOCAL", voxels: bytes | None = None) -> Path:
    ending = f"ElementDataFile = {place}\n".encode()
    path.write_bytes(header.encode() + ending + (ct().tobytes() if voxels is None else voxels))
    return path


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_the_space_of_an_nrrd_is_honoured(tmp_path: Path, space: str, signs) -> None:
    """The affine follows from the header's text by the format's definition."""
    scan = read_scan(nrrd(tmp_path / "s.nrrd", f"{NRRD}space: {space}\n{PLACE}"))
    expected = np.array([[0.7, 0, 0, 10], [0, 0.9, 0, 20], [0, 0.1, 3, 30], [0, 0, 0, 1]])
    expected[:3] *= np.array(signs)[:, None]
    assert np.allclose(scan.volume.affine, expected, rtol=0, atol=1e-12)
    assert scan.warnings == ()


def test_a_sheared_matrix_of_a_metaimage_is_kept(tmp_path: Path) -> None:
    """TransformMatrix lists the axes' directions one after another."""
    matrix = "TransformMatrix = 1 0 0 0 1 0 0 0.3 1\nOffset = 10 20 30\n"
    affine = read_scan(meta(tmp_path / "t.mha", META + matrix)).volume.affine
    expected = np.array([[-0.7, 0, 0, -10], [0, -0.9, -0.9, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    assert np.allclose(affine, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "path_of",
    [
        lambda p: nrrd(p / "n.nrrd", f"{NRRD}spacings: 0.7 0.9 3\n"),
        lambda p: nrrd(p / "n.nrrd", f"{NRRD}space: scanner-xyz\n{PLACE}"),
        lambda p: nrrd(p / "n.nrrd", f"{NRRD}space dimension: 3\n{PLACE}"),
        lambda p: meta(p / "n.mha", META),
    ],
)
def test_a_header_without_directions_gives_a_warning(tmp_path: Path, path_of) -> None:
    (warning,) = read_scan(path_of(tmp_path)).warnings
    assert "n: the header does not say how the patient lies" in warning


def test_an_intensity_function_gives_a_warning(tmp_path: Path) -> None:
    header = META + MATRIX + "ElementToIntensityFunctionOffset = -1024\n"
    (warning,) = read_scan(meta(tmp_path / "i.mha", header)).warnings
    assert "offset -1024), which ITK does not apply" in warning


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_scan(path)
    message = str(caught.value)
    assert path.name in message
    assert "; " in message or "pip install" in message
    assert "\n" not in message
    assert "itk::" not in message
    return message


LPS_NRRD = f"{NRRD}space: LPS\n{PLACE}"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (LPS_NRRD.replace("7 6 5", "7 6 500"), "cut short: 420 of 42000 bytes"),
        (LPS_NRRD.replace("7 6 5", "70000 60000 50000"), "more than a CT scan can have"),
        (LPS_NRRD.replace("(0,0,3)", "(0,0,nan)"), "damaged or cut short, or breaks"),
        (LPS_NRRD.replace("(0,0,3)", "(0.7,0,0)"), "singular"),
        (LPS_NRRD.replace("(0,0,3)", "(0,0,0.001)"), "which no CT has"),
        (LPS_NRRD + 'space units: "cm" "cm" "cm"\n', "spacing in cm"),
        (LPS_NRRD.replace("(10,20,30)", "(1e9,0,0)"), "more than 100 m"),
        (
            LPS_NRRD.replace("dimension: 3", "dimension: 4")
            .replace("7 6 5", "3 7 2 5")
            .replace("directions:", "directions: none")
            + "kinds: vector domain domain domain\n",
            "3 values for each voxel",
        ),
        (LPS_NRRD.replace("0.9,0.1", "0.9"), "damaged or cut short"),
        ("hello\n", "is no NRRD file"),
    ],
)
def test_an_unusable_nrrd_is_refused_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], header: str, words: str
) -> None:
    assert words in refusal(nrrd(tmp_path / "n.nrrd", header))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (META.replace("7 6 5", "7 6 500") + MATRIX, "cut short: 420 of 42000 bytes"),
        (META.replace("7 6 5", "7 6 1") + MATRIX, "single slice"),
        (META.replace("0.7", "-0.7") + MATRIX, "negative voxel spacing"),
        (META.replace("0.7", "0") + MATRIX, "spacing"),
        (META + MATRIX + "ElementNumberOfChannels = 2\n", "2 values for each voxel"),
    ],
)
def test_an_unusable_metaimage_is_refused_in_a_sentence(
    tmp_path: Path, header: str, words: str
) -> None:
    assert words in refusal(meta(tmp_path / "m.mha", header))


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_a_packed_file_that_was_cut_short(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    written(path, ct((20, 30, 40)), packed=True)
    path.write_bytes(path.read_bytes()[:-9000])
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("place", ["../secret.raw", "/etc/hostname", "sub/../../secret.raw"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_voxels_outside_of_the_folder_are_not_opened(
    tmp_path: Path, place: str, ending: str
) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "secret.raw").write_bytes(ct().tobytes())
    path = tmp_path / "d" / f"x{ending}"
    if "n" in ending:
        path.write_text(f"{LPS_NRRD}data file: {place}\n")
    else:
        meta(path, META + MATRIX, place, b"")
    assert "outside of its folder" in refusal(path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "secret.raw").write_bytes(ct().tobytes())
    (tmp_path / "d" / "x.raw").symlink_to(tmp_path / "secret.raw")
    assert "outside of its folder" in refusal(
        meta(tmp_path / "d" / "x.mhd", META + MATRIX, "x.raw", b"")
    )


@pytest.mark.parametrize("end", ["\n\r\n", "\r\n\n", "\n\n", "\r\n"])
def test_a_second_place_of_voxels_is_not_opened(tmp_path: Path, end: str) -> None:
    """However ITK reads line ends, spaces and letters: one place is named, or none is read."""
    path = tmp_path / "x.nrrd"
    path.write_bytes(f"{LPS_NRRD}{end}data file: /etc/hostname\n\n".encode() + ct().tobytes())
    assert "more than once" in refusal(path)
    path = tmp_path / "x.mha"
    text = META + MATRIX + f"elementdatafile = LOCAL{end}"
    meta(path, text, "/etc/hostname")
    assert "more than once" in refusal(path)


@pytest.mark.parametrize("place", ["LIST", "x%03d.raw 1 5 1"])
def test_voxels_in_several_files_are_named(tmp_path: Path, place: str) -> None:
    assert "in several files" in refusal(meta(tmp_path / "x.mhd", META + MATRIX, place, b""))


def test_lost_voxels_are_named(tmp_path: Path) -> None:
    written(tmp_path / "x.mhd", ct())
    (tmp_path / "x.raw").unlink()
    assert "voxels in x.raw, which is not there" in refusal(tmp_path / "x.mhd")


def test_new_voxels_beside_an_old_header_are_another_scan(tmp_path: Path) -> None:
    written(tmp_path / "x.mhd", ct())
    (one,) = find_scans([tmp_path / "x.mhd"])
    (tmp_path / "x.raw").write_bytes(ct()[::-1].tobytes() + b"\0")
    (two,) = find_scans([tmp_path / "x.mhd"])
    assert scan_facts(one) != scan_facts(two)


def test_a_folder_of_metaimages_and_nrrds(tmp_path: Path) -> None:
    for ending in ENDINGS:
        written(tmp_path / f"x{ending[1:]}{ending}", ct())
    labels = np.zeros((9, 9, 9), np.int16)
    labels[4:, 4:, 4:] = 1
    written(tmp_path / "Segmentation.seg.nrrd", labels)
    assert [s.case_id for s in find_scans([tmp_path])] == ["xmha", "xmhd", "xnhdr", "xnrrd"]


def test_without_simpleitk_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "x.mha", ct())
    imported = builtins.__import__

    def missing(name: str, *rest):
        if name == "SimpleITK":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.delitem(sys.modules, "SimpleITK")
    monkeypatch.setattr(builtins, "__import__", missing)
    assert "pip install 'renalis[itk]'" in refusal(tmp_path / "x.mha")


@pytest.mark.parametrize("ending", [".mha", ".nhdr"])
@pytest.mark.parametrize("name", ["a_seg", "labels/a", "a"])
def test_label_maps_in_a_tree_are_left_out(tmp_path: Path, ending: str, name: str) -> None:
    """By 8 bits a voxel, or by their names; a CT in such a folder is a scan."""
    labels = np.zeros((20, 20, 20), np.uint8 if name == "a" else np.int16)
    labels[4:9, 4:9, 4:9] = 1
    for place in ("ct", name):
        (tmp_path / place).parent.mkdir(exist_ok=True)
    written(tmp_path / f"ct{ending}", ct())
    written(tmp_path / f"{name}{ending}", labels)
    assert [s.case_id for s in find_scans([tmp_path])] == ["ct"]
    written(tmp_path / f"{name}{ending}", ct())
    assert len(find_scans([tmp_path])) == 2
