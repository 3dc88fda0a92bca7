/* SPDX-License-Identifier: MIT */
#include "client/domain_xml.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/domain.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define MIB (UINT64_C(1) << 20)
#define HEAD "<domain type='kvm'>\n<name>a</name>\n<memory unit='MiB'>64</memory>\n"
#define ANY_LINE UINT_MAX
#define TAIL "</domain>\n"
#define HOSTDEV(inner) HEAD "<devices><hostdev type='pci'>" inner "</hostdev></devices>" TAIL

static int parse(const char *text, struct domain_fault *ret_fault)
{
	CLEANUP(freep) struct domain *domain = NULL;
	int err = domain_parse(text, strlen(text), &domain, ret_fault);

	CHECK(text, !err == !!domain);
	return err;
}

static void what_is_no_domain_is_refused_with_its_line(void)
{
	static const struct {
		const char *xml;
		unsigned int line;
		const char *text; /* part of the fault */
	} cases[] = {
		/* libxml2's words, and its lines, differ between versions where a file ends. */
		{"", ANY_LINE, ""},
		{"\n", ANY_LINE, ""},
		{"domain", ANY_LINE, ""},
		{"<domain>", ANY_LINE, ""},
		{HEAD, ANY_LINE, ""},
		{HEAD "</domain", ANY_LINE, ""},
		{HEAD TAIL "<domain/>", ANY_LINE, ""},
		{HEAD "\n</domian>", 5, "mismatch"},
		{HEAD "<a>&b;</a>" TAIL, 4, "b"},
		{HEAD "<a b=c/>" TAIL, 4, ""},
		{HEAD "<a b='1' b='2'/>" TAIL, 4, "redefined"},
		{HEAD "\x01" TAIL, 4, ""},
		{HEAD "\xff" TAIL, 4, ""},
		{"<network>\n<name>a</name></network>", 1, "<network> is no <domain>"},
		{"<domain xmlns='urn:x'/>", 1, "no <domain>"},
		{"<domain><memory>1</memory></domain>", 0, "without a <name>"},
		{"<domain>\n<name> </name><memory>1</memory></domain>", 2, "empty"},
		{"<domain><name>a</name></domain>", 0, "without <memory>"},
		{"<domain><name>a</name><memory>0</memory></domain>", 0, "without <memory>"},
		{HEAD "<name>b</name>" TAIL, 4, "<name> is there twice"},
		{HEAD "<memory>1</memory>" TAIL, 4, "<memory> is there twice"},
		{HEAD "<maxMemory>x</maxMemory>" TAIL, 4, "maxMemory: 'x' is no number"},
		{HEAD "<maxMemory>-1</maxMemory>" TAIL, 4, "'-1'"},
		{HEAD "<maxMemory> </maxMemory>" TAIL, 4, "'' is no number"},
		{HEAD "<maxMemory>1 2</maxMemory>" TAIL, 4, "'1 2'"},
		{HEAD "<maxMemory>1\r2&#10;3</maxMemory>" TAIL, 4, "'1?2?3'"},
		{HEAD "<maxMemory>9007199254740992</maxMemory>" TAIL, 4, "too much"},
		{HEAD "<maxMemory>99999999999999999999</maxMemory>" TAIL, 4, "too much"},
		{HEAD "<maxMemory unit='EiB'>8</maxMemory>" TAIL, 4, "too much"},
		{HEAD "<maxMemory unit='XiB'>8</maxMemory>" TAIL, 4, "unit 'XiB'"},
		{HEAD "<maxMemory unit='iB'>8</maxMemory>" TAIL, 4, "unit 'iB'"},
		{HEAD "<maxMemory unit='Mib '>8</maxMemory>" TAIL, 4, "unit 'Mib '"},
		{HEAD "<maxMemory slots='65536'>8</maxMemory>" TAIL, 4, "slots"},
		{HEAD "<maxMemory slots='-1'>8</maxMemory>" TAIL, 4, "slots"},
		{HEAD "<memtune><hard_limit unit='EiB'>16</hard_limit></memtune>" TAIL, 4,
		 "too much"},
		{HEAD "<iommufd enabled='maybe'/>" TAIL, 4, "neither yes nor no"},
		{HEAD "<cpu><numa><cell/></numa></cpu>" TAIL, 4, "memory"},
		{HEAD "<cpu><numa><cell id='128' memory='1'/></numa></cpu>" TAIL, 4, "128"},
		{HEAD
		 "<cpu><numa><cell id='0' memory='1'/><cell id='0' memory='1'/></numa></cpu>" TAIL,
		 4, "cell 0 is there twice"},
		{HEAD "<memoryBacking><hugepages><page size='2' nodeset='3-1'/></hugepages>"
		      "</memoryBacking>" TAIL,
		 4, "nodeset"},
		{HEAD "<memoryBacking><hugepages><page size='2' nodeset='0,128'/></hugepages>"
		      "</memoryBacking>" TAIL,
		 4, "nodeset"},
		{HEAD "<memoryBacking><hugepages><page size='2' nodeset='0,'/></hugepages>"
		      "</memoryBacking>" TAIL,
		 4, "nodeset"},
		{HEAD
		 "<memoryBacking><hugepages><page nodeset='0'/></hugepages></memoryBacking>" TAIL,
		 4, "size"},
		{HEAD "<devices><memory model='dimm'><target/></memory></devices>" TAIL, 4,
		 "without a size"},
		{HEAD "<devices><memory><target><node>128</node></target></memory></devices>" TAIL,
		 4, "node"},
		{HOSTDEV(""), 4, "without an address"},
		{HOSTDEV("<source><address bus='0x100'/></source>"), 4, "bus: '0x100'"},
		{HOSTDEV("<source><address slot='0x20'/></source>"), 4, "slot: '0x20'"},
		{HOSTDEV("<source><address function='8'/></source>"), 4, "function: '8'"},
		{HOSTDEV("<source><address domain='-1'/></source>"), 4, "domain: '-1'"},
		{HOSTDEV("<source><address domain='0x1g'/></source>"), 4, "domain: '0x1g'"},
		{HEAD "<devices><hostdev type='mdev'><source><address uuid='1'/></source></hostdev>"
		      "</devices>" TAIL,
		 4, "uuid: '1'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct domain_fault fault;

		CHECK(cases[i].xml, parse(cases[i].xml, &fault) == -EINVAL);
		CHECK(fault.text, cases[i].line == ANY_LINE || fault.line == cases[i].line);
		CHECK(cases[i].xml, fault.text[0] && strstr(fault.text, cases[i].text));
		CHECK(cases[i].xml, !strchr(fault.text, '\n'));
	}
}

static void hostile_documents_are_refused(void)
{
	static const struct {
		const char *name, *xml, *text;
	} cases[] = {
		{"a document type", "<!DOCTYPE domain>\n" HEAD TAIL, "document type"},
		{"one of a file", "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>" HEAD TAIL,
		 "document type"},
		{"one of the network", "<!DOCTYPE domain SYSTEM 'http://127.0.0.1:1/'>" HEAD TAIL,
		 "document type"},
		{"entities",
		 "<!DOCTYPE domain [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;'>"
		 "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><domain><name>&c;</name></domain>",
		 "document type"},
		{"entities of parameters",
		 "<!DOCTYPE domain [<!ENTITY % a '<!ENTITY b \"c\">'>%a;%a;]>" HEAD TAIL,
		 "document type"},
		{"a file by an entity",
		 "<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain><name>&a;"
		 "</name></domain>",
		 "document type"},
		{"another encoding that is not told", "\xff\xfe<\0d\0", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct domain_fault fault;

		CHECK(cases[i].name, parse(cases[i].xml, &fault) == -EINVAL);
		CHECK(cases[i].name, strstr(fault.text, cases[i].text));
	}
}

/* HEAD, then a text n times and another as often, and TAIL. Freed by the caller. */
static char *repeated(const char *open, const char *close, size_t n)
{
	char *text = malloc(sizeof(HEAD) + sizeof(TAIL) + n * (strlen(open) + strlen(close)));
	char *to;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	to = stpcpy(text, HEAD);
	for (size_t i = 0; i < n; i++)
		to = stpcpy(to, open);
	for (size_t i = 0; i < n; i++)
		to = stpcpy(to, close);
	(void)strcpy(to, TAIL); /* there is room */
	return text;
}

/* Each just inside and just outside. */
static void sizes_have_limits(void)
{
	static const struct {
		const char *name, *open, *close;
		size_t n;
		const char *text; /* NULL: it is a domain */
	} cases[] = {
		{"depth", "<a>", "</a>", DOMAIN_XML_DEPTH_MAX - 1, NULL},
		{"more depth", "<a>", "</a>", DOMAIN_XML_DEPTH_MAX, "within each other"},
		{"much depth", "<a>", "</a>", 500000, "within each other"},
		{"images", "<backingStore>", "</backingStore>", 200, NULL},
		{"elements", "<a/>", "", 100000, NULL},
		{"devices",
		 "<devices><hostdev type='pci'><source><address/></source></hostdev></devices>", "",
		 DOMAIN_HOSTDEVS_MAX, NULL},
		{"more of them",
		 "<devices><hostdev type='pci'><source><address/></source></hostdev></devices>", "",
		 DOMAIN_HOSTDEVS_MAX + 1, "host devices"},
		{"namespaces", "<a:b xmlns:a='c'/>", "", 256, NULL},
		{"more namespaces", "<a:b xmlns:a='c'/>", "", 257, "namespaces"},
		{"bytes", "          ", "", DOMAIN_XML_MAX / 10, "bytes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *xml = repeated(cases[i].open, cases[i].close, cases[i].n);
		struct domain_fault fault;
		int err = parse(xml, &fault);

		CHECK(cases[i].name, err == (cases[i].text ? -EINVAL : 0));
		CHECK(cases[i].name, !cases[i].text || strstr(fault.text, cases[i].text));
	}
}

/* HEAD, what begins and ends something, with a filling in between, and TAIL. */
static char *filled(const char *open, const char *filling, size_t n, const char *close)
{
	CLEANUP(freep) char *middle = calloc(n, strlen(filling) + 1);
	char *text, *to = middle;
	int len;

	CU_ASSERT_PTR_NOT_NULL_FATAL(middle);
	for (size_t i = 0; i < n; i++)
		to = stpcpy(to, filling);
	len = asprintf(&text, HEAD "%s%s%s" TAIL, open, middle, close);
	CU_ASSERT_FATAL(len > 0);
	return text;
}

static void parts_have_limits(void)
{
	static const struct {
		const char *name, *open, *filling;
		size_t n;
		const char *close;
		const char *text; /* NULL: it is a domain */
	} cases[] = {
		{"a text of no interest", "<title>", "x", 100000, "</title>", NULL},
		{"a text", "<resource><partition>", "/abc", 255, "</partition></resource>", NULL},
		{"a longer text", "<resource><partition>", "/abc", 256, "</partition></resource>",
		 "<partition>"},
		{"a name", "<uuid>", "x", 39, "</uuid>", NULL},
		{"a longer name", "<uuid>", "x", 40, "</uuid>", "uuid"},
		{"an attribute", "<iommufd fdgroup='", "x", 63, "'/>", NULL},
		{"a longer attribute", "<iommufd fdgroup='", "x", 64, "'/>", "fdgroup"},
		{"much longer", "<iommufd fdgroup='", "x", 128, "'/>", "fdgroup"},
		{"a comment", "<!--", "x", 50000, "-->", NULL},
		{"a longer comment", "<!--", "x", 100000, "-->", "a tag, comment"},
		{"a tag without end", "<a ", "x", 1000000, "", "a tag, comment"},
		{"an attribute without end", "<a b='", "x", 1000000, "", "a tag, comment"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep)
		char *xml = filled(cases[i].open, cases[i].filling, cases[i].n, cases[i].close);
		struct domain_fault fault;
		int err = parse(xml, &fault);

		CHECK(cases[i].name, err == (cases[i].text ? -EINVAL : 0));
		CHECK(cases[i].name, !cases[i].text || strstr(fault.text, cases[i].text));
	}
}

/* Time is not measured here: what would take hours is refused for being it. */
static void attributes_are_counted(void)
{
	CLEANUP(freep) char *xml = malloc(MIB);
	struct domain_fault fault;
	char *to;

	CU_ASSERT_PTR_NOT_NULL_FATAL(xml);
	for (int n = 64; n <= 65; n++) {
		to = stpcpy(xml, HEAD "<a");
		for (int i = 0; i < n; i++)
			to += sprintf(to, " a%d=''", i);
		(void)stpcpy(to, "/>" TAIL);
		CHECK("attributes", parse(xml, &fault) == (n > 64 ? -EINVAL : 0));
	}
	CHECK("attributes", strstr(fault.text, "65 attributes"));
}

static void sizes_are_read_as_libvirt_does(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"<maxMemory>1</maxMemory>", 1024},
		{"<maxMemory unit=''>1</maxMemory>", 1024},
		{"<maxMemory unit='KiB'>\n\t1\n</maxMemory>", 1024},
		{"<maxMemory unit='k'>1</maxMemory>", 1024},
		{"<maxMemory unit='K'>1</maxMemory>", 1024},
		{"<maxMemory unit='kib'>1</maxMemory>", 1024},
		{"<maxMemory unit='KB'>1</maxMemory>", 1024}, /* 1000, up to whole KiB */
		{"<maxMemory unit='b'>1025</maxMemory>", 2048},
		{"<maxMemory unit='byte'>1024</maxMemory>", 1024},
		{"<maxMemory unit='bytes'>1</maxMemory>", 1024},
		{"<maxMemory unit='MiB'>2</maxMemory>", 2 * MIB},
		{"<maxMemory unit='MB'>256</maxMemory>", 256000000},
		{"<maxMemory unit='g'>2</maxMemory>", 2048 * MIB},
		{"<maxMemory unit='TiB'>2</maxMemory>", 2048 * 1024 * MIB},
		{"<maxMemory unit='PiB'>1</maxMemory>", UINT64_C(1) << 50},
		{"<maxMemory unit='EiB'>7</maxMemory>", UINT64_C(7) << 60},
		{"<maxMemory>1<!-- 2 -->0</maxMemory>", 10240},
		{"<maxMemory><![CDATA[1]]>1</maxMemory>", 11264},
		{"<maxMemory>&#49;</maxMemory>", 1024},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) struct domain *domain = NULL;
		CLEANUP(freep) char *xml = filled(cases[i].text, "", 1, "");
		struct domain_fault fault;

		CHECK(cases[i].text, domain_parse(xml, strlen(xml), &domain, &fault) == 0);
		CHECK(cases[i].text, domain && domain->max_memory == cases[i].bytes);
	}
}

static void other_encodings_are_read(void)
{
	static const char latin1[] =
		"<?xml version='1.0' encoding='ISO-8859-1'?>\n<domain><name>\xe4"
		"</name><memory>1</memory></domain>";
	CLEANUP(freep) struct domain *domain = NULL;
	struct domain_fault fault;

	CHECK("latin1", domain_parse(latin1, strlen(latin1), &domain, &fault) == 0);
	CHECK("latin1", domain && strcmp(domain->name, "\xc3\xa4") == 0);
}

static void reading_ends_at_the_limit(void)
{
	CLEANUP(fd_closep) int fd = memfd_create("domain", MFD_CLOEXEC);
	CLEANUP(fd_closep) int dir_fd = open("/", O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *bytes = NULL;
	size_t len = 1;

	CHECK("empty", domain_read(fd, &bytes, &len) == 0 && len == 0);
	free(bytes);
	bytes = NULL;
	CHECK("largest", ftruncate(fd, DOMAIN_XML_MAX) == 0);
	CHECK("largest", domain_read(fd, &bytes, &len) == 0 && len == DOMAIN_XML_MAX);
	CHECK("too large", ftruncate(fd, INT64_MAX) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	free(bytes);
	bytes = NULL;
	CHECK("too large", domain_read(fd, &bytes, &len) == -EFBIG && !bytes);
	CHECK("a directory", domain_read(dir_fd, &bytes, &len) == -EISDIR);
}

/* What comes of the heap has been somebody else's, and qemu.conf is searched as a string. */
static void what_is_read_ends(void)
{
	CLEANUP(fd_closep) int fd = memfd_create("qemu.conf", MFD_CLOEXEC);
	CLEANUP(freep) char *bytes = NULL;
	char *before = malloc(64U << 10);
	size_t len = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(before);
	memset(before, 'x', 64U << 10);
	__asm__ volatile("" : : "r"(before) : "memory"); /* it is written, whoever reads it */
	free(before);
	CHECK("short", write(fd, "user", 4) == 4 && lseek(fd, 0, SEEK_SET) == 0);
	CHECK("short", domain_read(fd, &bytes, &len) == 0 && len == 4);
	CHECK("short", bytes && strnlen(bytes, 64) == 4);
}

static const CU_TestInfo tests[] = {
	{"what is no domain is refused with its line", what_is_no_domain_is_refused_with_its_line},
	{"hostile documents are refused", hostile_documents_are_refused},
	{"a document has limits", sizes_have_limits},
	{"its parts have limits", parts_have_limits},
	{"attributes are counted", attributes_are_counted},
	{"sizes are read as libvirt does", sizes_are_read_as_libvirt_does},
	{"other encodings are read", other_encodings_are_read},
	{"reading ends at the limit", reading_ends_at_the_limit},
	{"what is read ends with a NUL", what_is_read_ends},
	CU_TEST_INFO_NULL,
};

const struct suite suite_domain_xml = {"domain_xml", tests};
