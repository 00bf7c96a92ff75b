"""Finding one's way among widgets, for several test files."""

import base64
import re

import ipywidgets


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def find(widget, kind, description=None):
    found = [
        each
        for each in walk(widget)
        if type(each) is kind and description in (None, each.description)
    ]
    assert len(found) == 1, [each.description for each in found]
    return found[0]


def take_picture(widget):
    (image,) = [
        each for each in walk(widget) if type(each) is ipywidgets.HTML and "<img" in each.value
    ]
    return image.value


def decode(tag):
    return base64.b64decode(re.search(r'base64,([^"]+)"', tag)[1])
