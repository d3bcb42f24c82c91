"""Renders the package's jinja2 templates, with autoescape."""

from __future__ import annotations

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

PACKAGE = "retrieval.gallery"


def render(template: str, *, package: str = PACKAGE, **values: object) -> Markup:
    """Render a template; values are escaped unless they are `Markup`.

    Args:
        template: Name of the template.
        package: The package that contains it. It may extend templates of this package.
        values: Variables of the template.
    """
    return Markup(_environment(package).get_template(template).render(values))


@cache
def _environment(package: str) -> Environment:
    packages = dict.fromkeys((package, PACKAGE))
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, ".") for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
