"""Arguments of URLs that say who follows a link, or from where, and not which page: a page is the same without them.

A wrong entry makes one page of two, and one of them is lost. So a name is here only where its maker documents it as a
tracker, or browsers take it out for all sites: Brave's query filter and Firefox's list of query stripping, which lose
customers when a page breaks. Names that choose the page on some sites (`ref`, `source`, `cid`, `id`, `spm`) are not.

Names are in lower case, and compared so.
"""

# Whatever follows: campaigns of Google Analytics (utm_), Matomo (mtm_, matomo_, pk_, piwik_), HubSpot's of other
# networks (hsa_), and the session cookies of ASP, whose names end in random letters (aspsessionid).
DROPPED_PREFIXES = ("utm_", "mtm_", "matomo_", "pk_", "piwik_", "hsa_", "aspsessionid")

DROPPED_NAMES = (
    # clicks on advertisements: Google, Microsoft, Meta, Yandex, TikTok, X, LinkedIn, Pinterest, Reddit, Outbrain,
    # Impact, Rakuten, Commission Junction
    *("gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "gad_campaignid", "srsltid", "msclkid", "fbclid"),
    *("yclid", "ysclid", "ymclid", "_openstat", "ttclid", "twclid", "li_fat_id", "epik", "rdt_cid", "dicbo"),
    *("irclickid", "rb_clickid", "cjevent"),
    # shares: Instagram, X
    *("igshid", "igsh", "ref_src", "ref_url"),
    # visitors taken from one site to the next: Google Analytics, HubSpot, Adobe, Branch, Yahoo
    *("_ga", "_gl", "__hssc", "__hstc", "__hsfp", "hsctatracking", "s_cid", "s_kwcid", "ef_id", "_branch_match_id"),
    *("guce_referrer", "guce_referrer_sig"),
    # readers of mailings: Mailchimp, HubSpot, Marketo, Drip, Vero, Omeda, Eloqua, MailerLite, Wicked Reports, Klaviyo
    *("mc_cid", "mc_eid", "_hsenc", "_hsmi", "mkt_tok", "__s", "vero_id", "vero_conv", "oly_anon_id", "oly_enc_id"),
    *("elqtrackid", "elqtrack", "ml_subscriber", "ml_subscriber_hash", "wickedid", "_kx"),
    # sessions, by the name that the server's maker gave them: Java (Servlet specification, 7.1.3), PHP, ColdFusion
    *("jsessionid", "phpsessid", "cftoken"),
)

# Sessions where the value looks like one, the name of something else where not.
SESSION_NAMES = ("sid", "s", "sessid", "sessionid", "session_id", "oscsid", "zenid", "xtcsid")
# Letters and digits of PHP's usual session ids, as long as they are (manual, `session.hash_bits_per_character`); the
# 32 are what the Internet Archive's `surt` takes out of `sid`, too.
SESSION_VALUE_CHARS = (26, 32, 40)

# A session of ColdFusion is a pair: this name goes where the other one is there.
PAIRED_NAME, ITS_PAIR = "cfid", "cftoken"
