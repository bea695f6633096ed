/* Name service of CNI networks: from the plugins' result to resolv.conf. */
#include "runtime/net/cni.h"
#include "check.h"

TEST(the_dns_of_a_result_becomes_resolv_conf)
{
    static const struct {
        const char *result, *want; /* NULL: it does not say */
    } cases[] = {
        {"{\"dns\":{\"nameservers\":[\"10.0.0.1\",\"fd00::1\"],\"search\":[\"a.example\",\"b.example\"],"
         "\"options\":[\"ndots:2\"]}}",
         "nameserver 10.0.0.1\nnameserver fd00::1\nsearch a.example b.example\noptions ndots:2\n"},
        {"{\"dns\":{\"nameservers\":[\"10.0.0.1\"]}}", "nameserver 10.0.0.1\n"},
        {"{\"dns\":{\"nameservers\":[\"10.0.0.1\\nnameserver 6.6.6.6\",\"\",7,\"10.0.0.2\"]}}",
         "nameserver 10.0.0.2\n"},
        {"{\"dns\":{\"search\":[\"a.example\"]}}", NULL},
        {"{\"dns\":{\"nameservers\":[]}}", NULL},
        {"{\"dns\":{}}", NULL},
        {"{\"ips\":[]}", NULL},
    };

    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct err err = ERR_INIT;
        struct json_cur doc;
        CHECK_OK(json_parse(buf_str(cases[i].result), &json_limits_config, &doc, &err), err);
        char AUTO_MEM *text = cni_dns_text(&doc);
        if (cases[i].want)
            CHECK_STR(text ? text : "(none)", cases[i].want);
        else
            CHECK(text == NULL);
        (void)json_free(doc.node);
    }
}

TEST_MAIN
