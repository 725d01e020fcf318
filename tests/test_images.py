"""Images: any prompt can be drawn, equal records are equal images, and different ones look
different.
"""

import hashlib
import io
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from fake_server.images import ImageRecord, render
from fake_server.images.drawing import clean, font, line_width, wrap
from fake_server.images.faults import ImageFault

CAT = ImageRecord(prompt="a cat", model="v1-5-pruned-emaonly", seed=7)
CHINESE = "一只可爱的橘猫坐在月亮上看星星，水彩画风格。"
ODD_PROMPTS = {
    "empty": "",
    "blank": " \t\n\u3000 ",
    "1,000 Latin characters": "masterpiece, best quality, " * 37 + "end",
    "1,000 Chinese characters": "猫" * 1000,
    "one long word": "a" * 1000,
    "1,000 lines": "a\n" * 1000,
    "100,000 characters": "x " * 50_000,
    "100,000 combining marks": "e" + "\u0301\u0316" * 50_000,
    "100,000 invisible characters": "\u200b" * 100_000,
    "NUL": "a\0cat",
    "control characters": "\x01\x1b[31m\x7f\x85\x9b",
    "lone surrogates": "\ud800 cat \udfff",
    "surrogate pair in two": "\ud83d\ude00",
    "emoji": "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1f3",
    "right to left": "\u0642\u0637\u0629 \u05e9\u05dc\u05d5\u05dd \u202eabc\u202c",
    "unassigned": "\u0378 \U000e1234 \uffff \U0010ffff",
    "byte order marks": "\ufeff\ufffe",
}
text_with_surrogates = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


def opened(png: bytes) -> Image.Image:
    """The decoded image; every chunk and every pixel of it has been read."""
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def pixels(record: ImageRecord) -> Image.Image:
    return opened(render(record)).convert("RGB")


def parameters(record: ImageRecord) -> str:
    return str(opened(render(record)).info["parameters"])


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a file, each with a right checksum."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at = 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert int.from_bytes(png[at + 8 + length : at + 12 + length]) == zlib.crc32(kind + data)
        yield kind, data
        at += 12 + length


def share_that_differs(one: ImageRecord, other: ImageRecord) -> float:
    """How much of the area has clearly another colour."""
    difference = ImageChops.difference(pixels(one), pixels(other)).convert("L")
    return sum(difference.histogram()[16:]) / (one.width * one.height)


def letters(text: str) -> bytes:
    return bytes(font(40).getmask(text, "L"))


def in_another_process(code: str) -> str:
    root = Path(__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def test_equal_records_give_equal_bytes() -> None:
    """Nothing but the record decides what is drawn."""
    assert render(CAT._replace(prompt=CHINESE)) == render(CAT._replace(prompt=CHINESE))


def test_another_process_draws_the_same_bytes() -> None:
    """Neither hash randomisation nor anything else of a process enters the image."""
    code = (
        "import hashlib; from fake_server.images import ImageRecord, render;"
        f"print(hashlib.sha256(render(ImageRecord({CHINESE!a}, {CAT.model!r}, 7))).hexdigest())"
    )
    assert (
        in_another_process(code).strip()
        == hashlib.sha256(render(CAT._replace(prompt=CHINESE))).hexdigest()
    )


def test_threads_draw_the_same_bytes() -> None:
    """Several downloads at once do not disturb one another."""
    wanted = [CAT._replace(prompt=CHINESE, seed=seed) for seed in range(4)] * 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(render, wanted)) == [render(record) for record in wanted]


def test_importing_the_package_does_not_load_pillow() -> None:
    """The server's first answer does not wait for what only a download needs."""
    assert (
        in_another_process("import sys, fake_server.images; print('PIL' in sys.modules)").strip()
        == "False"
    )


records = st.builds(
    ImageRecord,
    prompt=text_with_surrogates,
    model=text_with_surrogates,
    seed=st.integers(-1, 2**64),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    negative_prompt=text_with_surrogates,
)


@settings(max_examples=40, deadline=None)
@given(record=records)
def test_any_text_and_any_size_can_be_drawn(record: ImageRecord) -> None:
    """Whatever was asked for, the file decodes to the size that was asked for, and says what it was
    drawn from.
    """
    png = render(record)
    image = opened(png)
    assert (image.format, image.size) == ("PNG", (record.width, record.height))
    assert f"Seed: {record.seed}, Size: {record.width}x{record.height}" in image.info["parameters"]
    assert [kind for kind, _ in chunks(png)][-3:] == [b"PLTE", b"IDAT", b"IEND"]


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 2048), (2048, 1), (47, 47), (48, 48), (128, 64), (2048, 2048)]
)
def test_sizes_from_one_pixel_to_2048_can_be_drawn(size: tuple[int, int]) -> None:
    """The limits of the promise, and the sizes where the layout changes."""
    assert pixels(CAT._replace(prompt=CHINESE, width=size[0], height=size[1])).size == size


@pytest.mark.parametrize("prompt", ODD_PROMPTS.values(), ids=list(ODD_PROMPTS))
def test_an_odd_prompt_is_drawn_and_soon(prompt: str) -> None:
    """The bound is a hundred times what the slowest takes here: it catches a prompt that hangs the
    server, no less.
    """
    started = time.process_time()
    assert pixels(CAT._replace(prompt=prompt)).size == (512, 512)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "other",
    [
        CAT._replace(prompt="a dog"),
        CAT._replace(model="dosmix_"),
        CAT._replace(seed=8),
        CAT._replace(negative_prompt="dog"),
    ],
    ids=["prompt", "model", "seed", "negative prompt"],
)
def test_another_image_looks_different_at_a_glance(other: ImageRecord) -> None:
    """A fifth of the area at least has clearly another colour."""
    assert share_that_differs(CAT, other) > 0.2


def test_a_hundred_seeds_give_a_hundred_looks() -> None:
    """No two thumbnails are alike."""
    thumbnails = {
        pixels(CAT._replace(seed=seed, width=40, height=40)).tobytes() for seed in range(100)
    }
    assert len(thumbnails) == 100


@pytest.mark.parametrize("side", [16, 48, 512])
def test_an_image_is_never_of_one_colour(side: int) -> None:
    """There is a pattern on it at every size that has room for one."""
    for seed in range(20):
        colours = pixels(CAT._replace(seed=seed, width=side, height=side)).getcolors()
        assert colours is not None
        assert max(count for count, _ in colours) < 0.9 * side * side


def test_the_chunk_has_the_form_of_webui() -> None:
    """Prompt, negative prompt, settings: what the tools that read WebUI's images expect."""
    record = CAT._replace(negative_prompt="dog", steps=30, width=64, height=80)
    assert parameters(record) == (
        "a cat\nNegative prompt: dog\n"
        "Steps: 30, Sampler: DPM++ SDE Karras, CFG scale: 7, Seed: 7, Size: 64x80, "
        f"Model hash: {hashlib.sha256(b'v1-5-pruned-emaonly').hexdigest()[:10]}, "
        "Model: v1-5-pruned-emaonly"
    )


def test_the_chunk_has_no_line_for_an_empty_negative_prompt() -> None:
    """As WebUI leaves it out; an empty prompt leaves no empty line either."""
    assert parameters(CAT).startswith("a cat\nSteps: 20, ")
    assert parameters(CAT._replace(prompt="")).startswith("Steps: 20, ")


def test_a_model_with_a_comma_is_quoted_in_the_chunk() -> None:
    """Otherwise the rest of its name would read as a setting."""
    assert parameters(CAT._replace(model='a, "b"')).endswith('Model: "a, \\"b\\""')


@pytest.mark.parametrize(("prompt", "kind"), [("a café", b"tEXt"), (CHINESE, b"iTXt")])
def test_the_chunk_is_itxt_only_where_latin_1_is_not_enough(prompt: str, kind: bytes) -> None:
    """WebUI writes through Pillow's `add_text`, which decides so; either way the prompt comes
    back.
    """
    record = CAT._replace(prompt=prompt)
    assert [name for name, data in chunks(render(record)) if data.startswith(b"parameters\0")] == [
        kind
    ]
    assert parameters(record).startswith(f"{prompt}\n")


def test_what_a_png_text_cannot_hold_is_replaced() -> None:
    """NUL would end the text early, and a lone surrogate has no UTF-8."""
    assert parameters(CAT._replace(prompt="a\0b\ud800c\ud83d\ude00")).startswith(
        "a\ufffdb\ufffdc\U0001f600\n"
    )


@pytest.mark.parametrize("character", "一猫龥가あжéA")
def test_the_font_has_letters_of_its_own_for(character: str) -> None:
    """Two characters differ, and neither is the box that stands for a missing one."""
    assert len({letters(character), letters("星"), letters("\uffff")}) == 3


def test_a_missing_glyph_is_a_box() -> None:
    """It has ink: a prompt of emoji does not look like an empty one."""
    assert letters("\U0001f600") == letters("\uffff")
    assert any(letters("\uffff"))


def test_the_prompt_is_drawn_large() -> None:
    """A single character of a prompt has more ink than the whole caption."""
    one, four = (drawing_indices(CAT._replace(prompt=prompt)) for prompt in ("猫", "猫猫猫猫"))
    character = (sum(four[6:10]) - sum(one[6:10])) / 3
    assert character > sum(one[6:10]) - character


def test_the_image_is_marked_as_a_fake() -> None:
    """There are letters in the accent colour, which only the mark has."""
    assert sum(drawing_indices(CAT)[10:14]) > 100


def drawing_indices(record: ImageRecord) -> list[int]:
    """How many pixels have each colour of the palette: 6 to 9 are ink and its edges, 10 to 13 the
    accent.
    """
    return opened(render(record)).histogram()


def test_lines_fit_their_room_and_lose_nothing() -> None:
    """Breaking into lines takes out blanks at the ends of lines, and nothing else."""
    text = f"{CHINESE} masterpiece, best quality {'a' * 200} end"
    lines = list(wrap(text, 20, 300))
    assert all(line_width(line, 20) <= 300 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_line_does_not_begin_with_a_closing_mark() -> None:
    """As Chinese and Japanese are set."""
    lines = wrap("猫猫猫猫，猫猫猫猫。", 20, 80)
    assert not any(line[0] in "，。" for line in lines)


def test_the_cleaned_text_has_one_kind_of_blank_and_of_line_end() -> None:
    """Invisible characters are gone, accents are joined to their letters, and controls are
    boxes.
    """
    assert clean(" a\t\u3000b \r\n\n c\u200d e\u0301\0 ") == "a b\nc \u00e9\uffff"


def test_a_huge_image_takes_no_memory() -> None:
    """Its padding is the same bytes again and again, so that many clients can fetch it at once."""
    parts = ImageFault("white", (64, 5_000_000)).spoil(()) or ()
    assert sum(map(len, parts)) > 5_000_000
    assert sum(len(part) for part in {id(part): part for part in parts}.values()) < 200_000
    assert opened(b"".join(parts)).size == (64, 64)
