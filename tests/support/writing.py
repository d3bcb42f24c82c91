"""Pictures with writing."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont


def page(
    text: str, size: tuple[int, int] = (640, 240), *, font_size: int = 40, color: str = "black"
) -> Image.Image:
    """Draw lines of text on white with the font of Pillow."""
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(font_size)
    ImageDraw.Draw(image).multiline_text((30, 30), text, color, font=font, spacing=12)
    return image
