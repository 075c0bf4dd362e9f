"""A picture made ready to be sent: checked, upright, on white, scaled down, JPEG."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.errors import DataError
from configs.schema import CaptioningSettings

if TYPE_CHECKING:
    from PIL.Image import Image


def prepare_image(path: Path, settings: CaptioningSettings) -> bytes:
    """A picture as JPEG with sides of at most `max_side` pixels.

    Raises:
        DataError: If it cannot be used; the message is the reason to report.
    """
    from PIL import Image

    picture = open_picture(path, settings.max_pixels)
    picture.thumbnail((settings.max_side, settings.max_side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=settings.jpeg_quality)
    return buffer.getvalue()


def open_picture(path: Path, max_pixels: int) -> Image:
    """A picture decoded, upright, RGB.

    Raises:
        DataError: If it is missing, larger than `max_pixels`, or cannot be decoded.
    """
    from PIL import Image, ImageOps

    if not path.is_file():
        raise DataError("the file is missing: run `clara extract` again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise DataError(
                        f"{width} x {height} pixels are more than "
                        f"captioning.max_pixels {max_pixels:,}"
                    )
                image.verify()
            # `verify` leaves the image unusable and does not see truncation: open it again.
            with Image.open(path) as image:
                image.load()
                return to_rgb(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        raise DataError(f"broken or not a picture ({str(err) or type(err).__name__})") from err


def to_rgb(image: Image) -> Image:
    """Any picture in RGB: transparency on white, deep greys stretched over eight bits."""
    import numpy as np
    from PIL import Image as Pillow

    if image.mode.startswith("I") or image.mode == "F":
        # Pillow would clip instead: everything above 255 would be white.
        pixels = np.nan_to_num(np.asarray(image).astype(np.float64))
        low, high = float(pixels.min()), float(pixels.max())
        scaled = (pixels - low) * (255.0 / (high - low) if high > low else 0.0)
        return Pillow.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Pillow.new("RGBA", layered.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")
