"""Settings of the site, whose pages build.py writes."""

import re
from html import escape

from docutils import nodes
from latex2mathml.converter import convert

from fprin_utils.build import readmes
from fprin_utils.figures import list_notebooks, read_metadata

project = html_title = "The Frequency Principle, measured"
language = "en"
highlight_language = "text"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Notebooks are shown with the outputs that are stored in them.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 2
# Instead of addresses: repository:PATH, binder:NOTEBOOK and app:NOTEBOOK.
myst_url_schemes = {
    "http": None,
    "https": None,
    "repository": f"{readmes.read_address()}/blob/HEAD/{{{{path}}}}",
    "binder": readmes.make_binder_link("{{path}}"),
    "app": readmes.make_app_link("{{path}}"),
}

default_role = "py:obj"
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autoclass_content = "both"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_use_ivar = True
maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_math_renderer = "mathml"
html_domain_indices = html_use_index = False
html_show_copyright = False
html_copy_source = False
# Only what a link shows elsewhere as its picture needs the whole address.
html_baseurl = re.sub(
    r"https://github\.com/(.*?)/(.*)", r"https://\1.github.io/\2/", readmes.read_address()
)
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"


def escape_bars(app, what, name, obj, options, lines):  # noqa: ARG001
    """Keep |x|, an absolute value in a docstring, from being read as the name of a substitution."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def write_mathml(translator, node):
    """Write a formula as MathML, which browsers draw and read out by themselves."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    formula = convert(node.astext(), display=display)
    # A bar that begins or ends |x| has no space around it, unlike an operator.
    translator.body.append(formula.replace(">&#x0007C;", ' lspace="0" rspace="0">&#x0007C;'))
    raise nodes.SkipNode


def describe_page(app, pagename, templatename, context, doctree):  # noqa: ARG001
    """Tell the language of a page, and what a link to it shows elsewhere: a picture, a sentence."""
    folder, _, name = pagename.rpartition("/")
    is_figure = name in list_notebooks()
    said = read_metadata(name if is_figure else list_notebooks()[0])
    sentence = "A deep network learns the low frequencies of its target first, measured."
    if folder == "zh":
        context["language"], sentence = "zh-Hans", said["shows_zh"]
    elif is_figure:
        sentence = said["shows"]
    image = f"{html_baseurl}_images/{name if is_figure else list_notebooks()[0]}.png"
    tags = {
        "og:title": context.get("title", project),
        "og:description": sentence,
        "og:image": image,
    }
    lines = [f'<meta name="description" content="{escape(sentence)}">']
    lines += [f'<meta property="{tag}" content="{escape(text)}">' for tag, text in tags.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def setup(app):
    """Register the functions with Sphinx."""
    app.connect("html-page-context", describe_page)
    app.connect("autodoc-process-docstring", escape_bars)
    app.add_html_math_renderer("mathml", (write_mathml, None), (write_mathml, None))
