/* cni_dns.c - the DNS settings in a CNI result as resolv.conf (CNI 1.0, section 5: "dns"). Pure. See
 * cni.h. */
#include "runtime/net/cni.h"

#define TEXT_BYTES (16 * 1024)

/* Append the strings of that list, separated by spaces. Returns how many. */
static unsigned put_list(const struct json_cur *dns, const char *key, const char *first, const char *next,
                         char *text)
{
    struct json_cur list;
    unsigned n = 0;

    if (json_get_array(dns, key, JSON_OPTIONAL, 16, &list, NULL) <= 0)
        return 0;
    for (unsigned i = 0; i < json_len(&list); i++) {
        struct json_cur one = json_at(&list, i);
        size_t len = strlen(text);
        const char *value = "";
        if (json_as_str(&one, 253, &value, NULL) == 0 && value[0] && !strpbrk(value, " \t\r\n"))
            n += str_fmt(text + len, TEXT_BYTES - len, "%s%s", n == 0 ? first : next, value);
    }
    if (n > 0)
        text[strlen(text)] = '\n'; /* zeroed, with room for 48 strings of 253 bytes and their keywords */
    return n;
}

char *cni_dns_text(const struct json_cur *result)
{
    struct json_cur dns;
    char *text;

    if (json_get_object(result, "dns", JSON_OPTIONAL, &dns, NULL) <= 0)
        return NULL;
    text = mem_need_zero(TEXT_BYTES);
    if (put_list(&dns, "nameservers", "nameserver ", "\nnameserver ", text) == 0) {
        free(text);
        return NULL;
    }
    (void)put_list(&dns, "search", "search ", " ", text);
    (void)put_list(&dns, "options", "options ", " ", text);
    return text;
}
