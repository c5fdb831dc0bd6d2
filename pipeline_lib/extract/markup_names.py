"""What names in markup mean to the extractor: elements, words of `class` and `id` attributes, words of boilerplate.

Kernels see names as hashes (`name_hash`) and class names through an automaton that finds all words of all groups in one
pass (Aho and Corasick 1975).
"""

from collections import deque

import numpy as np
import numpy.typing as npt

NUM_TAG_SLOTS = 16381
NUM_WORD_SLOTS = 32749
OTHER = 0

# Every element that we tell from others; `OTHER` stands for the rest, which is inline, as browsers have it.
_TAG_NAMES = (
    "? html head body title meta script style noscript template iframe svg math select option optgroup textarea "
    "noembed noframes br hr img input wbr area base col embed link param source track a b i em strong span code "
    "nav header footer aside main article section div center p h1 h2 h3 h4 h5 h6 ul ol menu li dl dt dd table caption "
    "colgroup thead tbody tfoot tr td th pre listing xmp blockquote figure figcaption form fieldset legend label "
    "button details summary address dialog hgroup search object video audio canvas time datalist frameset frame "
    "u s small sub sup font big tt cite q abbr kbd samp var mark del ins picture rt rp"
)
TAG_NAMES = tuple(_TAG_NAMES.split())
TAG = {name: number for number, name in enumerate(TAG_NAMES)}

# What an element is to the scan.
BLOCK = 1  # text before and after it are different blocks
VOID = 2  # it has no content
RAW = 4  # its content is no markup, and is passed over
HIDDEN = 8  # its content is not shown
BREAKS = 16  # inside preformatted text it begins a new line
CLOSES_P = 32  # a paragraph that is open ends before it
SCOPE = 64  # closing tags of what is outside do not reach through it
LIST = 128
FORMAT = 256  # changes how text looks, and nothing else

_FLAGS = {
    BLOCK: "html head body nav header footer aside main article section div center p h1 h2 h3 h4 h5 h6 ul ol menu li "
    "dl dt dd table caption colgroup thead tbody tfoot tr td th pre listing xmp blockquote figure figcaption form "
    "fieldset legend button details summary address dialog hgroup search object video audio canvas frameset hr "
    "noscript",
    VOID: "br hr img input wbr area base col embed link param source track meta frame",
    RAW: "script style iframe textarea title noembed noframes",
    HIDDEN: "template svg math select datalist object video audio canvas rp",
    BREAKS: "div p li tr",
    CLOSES_P: "nav header footer aside main article section div center p h1 h2 h3 h4 h5 h6 ul ol menu dl table pre "
    "listing blockquote figure figcaption form fieldset details summary address dialog hgroup search hr",
    SCOPE: "td th table caption",
    LIST: "ul ol menu",
    FORMAT: "a b i em strong u s small big tt font code sub sup cite q abbr kbd samp var mark del ins",
}


def name_hash(name: bytes) -> int:
    """The hash that kernels compute of a name or word, ASCII in lower case."""
    value = 0
    for byte in name:
        value = (value * 257 + byte) % (1 << 31)
    return value


def _slots(hashes: dict[bytes, int], num_slots: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hash and value by slot; -1 where a slot is empty. Names that share a slot follow each other."""
    slots = np.full(num_slots, -1, np.int64)
    values = np.zeros(num_slots, np.int64)
    for name, value in hashes.items():
        slot = name_hash(name) % num_slots
        while slots[slot] >= 0:
            slot = (slot + 1) % num_slots
        slots[slot], values[slot] = name_hash(name), value
    return slots, values


TAG_HASHES, TAG_IDS = _slots({name.encode(): number for name, number in TAG.items() if number}, NUM_TAG_SLOTS)
TAG_FLAGS = np.zeros(len(TAG_NAMES), np.int64)
for _flag, _names in _FLAGS.items():
    for _name in _names.split():
        TAG_FLAGS[TAG[_name]] |= _flag

# Groups of words in `class`, `id`, `role` and `itemprop`; `_` stands for whatever is no letter. The names are those
# that themes and frameworks commonly use; which of them speak for main text is left to the model.
CLASS_WORDS = {
    "nav": "_nav navbar navigation menu topbar toolbar",
    "breadcrumb": "crumb",
    "header": "header masthead _head_ _top_",
    "footer": "footer _foot_ bottom contentinfo",
    "sidebar": "sidebar sidecol _side_ _aside _rail secondary complementary",
    "widget": "widget",
    "comment": "comment disqus respond discussion",
    "share": "share social sharing addthis",
    "related": "related recommend similar readmore read_more _also_ upsell popular trending latest",
    "advert": "promo sponsor _ads_ _ad_ advert banner outbrain taboola _cta",
    "cookie": "cookie consent gdpr privacy onetrust",
    "popup": "popup modal overlay lightbox dialog toast drawer offcanvas tooltip dropdown",
    "subscribe": "subscri newsletter signup sign_up login register paywall",
    "meta": "meta byline author _date dateline posted published timestamp",
    "tag": "_tag_ _tags categor taxonomy",
    "caption": "caption credit figure image photo gallery media",
    "search": "search filter _sort facet refine",
    "pager": "paginat pager paging _next_ _prev",
    "toc": "_toc tableofcontents table_of_contents",
    "content": "content",
    "main": "_main_ maincol primary",
    "article": "article story _news_",
    "post": "_post entry blog",
    "body": "body _text prose markdown richtext rich_text _rte wysiwyg _copy",
    "description": "descri summary detail excerpt intro _lead standfirst",
    "product": "product price _sku spec variant",
    "cart": "cart checkout _buy wishlist quantity _qty shipping delivery",
    "card": "card tile teaser",
    "list": "_list listing grid _item",
    "slide": "carousel slider swiper slide",
    "review": "review rating testimonial",
    "forum": "forum thread topic message reply answer question",
    "user": "user profile avatar member signature",
    "unseen": "hidden sr_only screen_reader _hide noprint skip",
    "legal": "copyright legal disclaimer _terms",
    "code": "code highlight syntax",
    "fold": "accordion _tab_ _tabs collaps faq",
    "hero": "hero jumbotron _title headline heading",
    "section": "section block module component",
    "form": "form input field",
}

# Groups of words of the text itself.
TEXT_WORDS = {
    "rights": "copyright rights reserved inc ltd llc gmbh",
    "cookies": "cookie cookies privacy terms policy consent gdpr preferences datenschutz impressum mentions",
    "share": "share facebook twitter pinterest linkedin whatsapp instagram email tweet follow youtube print",
    "account": "subscribe newsletter login sign register account password log signup inbox anmelden connexion",
    "more": "more related read view next previous see also recommended popular trending latest continue mehr plus",
    "comment": "comment comments reply replies posted leave kommentare commentaires",
    "advert": "advertisement sponsored advertising ad promo affiliate commission anzeige",
    "shop": "cart buy add price shipping order checkout wishlist quantity stock sale off",
    "date": "january february march april may june july august september october november december jan feb mar apr jun "
    "jul aug sep oct nov dec ago am pm updated published min minutes monday tuesday wednesday thursday friday",
    "by": "by author writer editor staff von par por",
    "site": "home menu search contact about skip toggle close help faq back top sitemap careers",
    "function": "the of and to in is that for with as was it on are be this by from or an at which not have has were "
    "but their his her they you we can will would if there been more when who what so der die das und ist nicht ein "
    "eine zu den mit von dem des sich auf les des est une dans pour que qui sur pas au du de la le et el los las del "
    "en y un una por con para se no su al il di che non per della una sono e i o os as do da em um uma nao com na het "
    "een van dat op te zijn voor niet met och att det som av den inte til og ikke w na z nie jest",
}


def _automaton() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Transitions (state, letter a-z or 26 for anything else) and the bits of the groups whose words end in a state."""
    children: list[dict[int, int]] = [{}]
    found = [0]
    for number, words in enumerate(CLASS_WORDS.values()):
        for word in words.split():
            state = 0
            for letter in word:
                symbol = 26 if letter == "_" else ord(letter) - ord("a")
                if symbol not in children[state]:
                    children[state][symbol] = len(children)
                    children.append({})
                    found.append(0)
                state = children[state][symbol]
            found[state] |= 1 << number
    transitions = np.zeros((len(children), 27), np.int32)
    fallback = [0] * len(children)
    queue = deque([0])
    while queue:
        state = queue.popleft()
        found[state] |= found[fallback[state]]
        for symbol in range(27):
            child = children[state].get(symbol)
            other = transitions[fallback[state], symbol] if state else 0
            if child is None:
                transitions[state, symbol] = other
            else:
                transitions[state, symbol] = child
                fallback[child] = int(other)
                queue.append(child)
    return transitions, np.array(found, np.int64)


CLASS_TRANSITIONS, CLASS_FOUND = _automaton()
_text_groups: dict[bytes, int] = {}
for _number, _words in enumerate(TEXT_WORDS.values()):
    for _word in _words.split():
        _text_groups[_word.encode()] = _text_groups.get(_word.encode(), 0) | 1 << _number
TEXT_WORD_HASHES, TEXT_WORD_GROUPS = _slots(_text_groups, NUM_WORD_SLOTS)
NUM_CLASS_GROUPS = len(CLASS_WORDS)
NUM_TEXT_GROUPS = len(TEXT_WORDS)
