#include "cli/cmdline_impl.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a program that says what it was told ---- */

static int run_set(const cmdline *c)
{
    printf("set");
    for (size_t i = 0; i < cmdline_arg_count(c); i++)
        printf(" [%s]", cmdline_arg(c, i));
    cr_assert_null(cmdline_arg(c, cmdline_arg_count(c)));
    cr_assert_eq(cmdline_args(c)[0], cmdline_arg(c, 0));
    if (cmdline_has(c, "by"))
        printf(" by=%s", cmdline_get(c, "by"));
    for (size_t i = 0; cmdline_nth(c, "replaces", i) != NULL; i++)
        printf(" replaces=%s", cmdline_nth(c, "replaces", i));
    printf(" urgent=%d json=%d home=%s\n", cmdline_has(c, "urgent"), cmdline_has(c, "json"),
           cmdline_get(c, "home") ? cmdline_get(c, "home") : "none");
    return 0;
}

static int run_invite(const cmdline *c)
{
    if (strcmp(cmdline_arg(c, 0), "nobody") == 0)
        return cmdline_usage(c, "\"%s\" cannot be invited", cmdline_arg(c, 0));
    printf("invite %s role=%s given=%d uses=%llu expires=%llu\n", cmdline_arg(c, 0),
           cmdline_get(c, "role"), cmdline_has(c, "role"),
           (unsigned long long)cmdline_number(c, "uses"),
           (unsigned long long)cmdline_duration_ms(c, "expires"));
    return strcmp(cmdline_arg(c, 0), "refused") == 0;
}

static int run_name(const cmdline *c)
{
    printf("%s", c->row->name);
    for (size_t i = 0; i < cmdline_arg_count(c); i++)
        printf(" [%s]", cmdline_arg(c, i));
    printf("\n");
    return 0;
}

static const cmdline_option set_options[] = {
    {.name = "by", .letter = 'b', .arg = "NAME", .doc = "who says so"},
    {.name = "replaces", .type = OPT_LIST, .arg = "REF", .doc = "what the writer's screen showed"},
    {.name = "urgent", .letter = 'u', .doc = "write it to the express feed"},
    {0},
};
static const cmdline_option invite_options[] = {
    {.name = "role",
     .type = OPT_CHOICE,
     .arg = "field|coordinator|reader",
     .fallback = "field",
     .doc = "what it may do"},
    {.name = "uses",
     .letter = 'n',
     .type = OPT_NUMBER,
     .arg = "N",
     .fallback = "1",
     .min = 1,
     .max = 1000,
     .doc = "how often"},
    {.name = "expires",
     .type = OPT_DURATION,
     .arg = "TIME",
     .fallback = "24h",
     .doc = "how long it is valid"},
    {.name = "called", .type = OPT_NAME, .arg = "TEXT", .max = 8, .doc = "its name"},
    {.name = "at", .type = OPT_ADDRESSES, .arg = "HOST:PORT", .doc = "where it is"},
    {0},
};
static const cmdline_option init_options[] = {
    {.name = "dataset", .arg = "TITLE", .required = true, .doc = "title of the dataset"},
    {.name = "size", .type = OPT_NUMBER, .arg = "N", .min = 2, .doc = "no end"},
    {0},
};
static const cmdline_option global_options[] = {
    {.name = "home", .letter = 'H', .arg = "DIR", .doc = "the node's directory"},
    {.name = "json", .doc = "print JSON"},
    {0},
};
static const cmdline_row rows[] = {
    {.name = "init",
     .group = "set up",
     .options = init_options,
     .doc = "make a dataset",
     .run = run_name},
    {.name = "invite",
     .group = "set up",
     .args = "NAME",
     .options = invite_options,
     .doc = "print a token",
     .run = run_invite},
    {.name = "member ls", .group = "members", .doc = "say who belongs", .run = run_name},
    {.name = "member remove",
     .group = "members",
     .args = "NAME",
     .doc = "shut a machine out",
     .run = run_name},
    {.name = "set",
     .group = "write",
     .args = "RECORD FIELD=VALUE\xe2\x80\xa6",
     .options = set_options,
     .doc = "set fields of a record",
     .about = "What it replaces is what is live here.\n\nThis is a second paragraph that is long "
              "enough to be broken into two "
              "lines at eighty columns.\n\n  as it is",
     .examples = "cairn set 3-1kx7 depth=48\ncairn set a .b='c'",
     .run = run_set},
    {.name = "ls", .group = "read", .args = "[FORM]", .doc = "list records", .run = run_name},
    {.name = "import", .group = "read", .args = "FILE.csv", .doc = "read a table", .run = run_name},
    {.name = "read",
     .group = "read",
     .args = "[FILE\xe2\x80\xa6]",
     .doc = "read files",
     .run = run_name},
    {.name = "selftest", .hidden = true, .doc = "for developers", .run = run_name},
};
static const cmdline_section sections[] = {{"ENVIRONMENT", "CAIRN_HOME is as --home."}, {0}};
static const cmdline_program program = {
    .name = "cairn",
    .version = "0.1.0",
    .doc = "a dataset that converges",
    .about = "Works off the grid.",
    .options = global_options,
    .sections = sections,
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

/* ---- running it ---- */

static char out_text[1 << 16], err_text_[1 << 16];

static void read_back(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);
    cr_assert(n >= 0);
    text[n] = '\0';
    close(fd);
}

/* In a child, so that what the program prints can be kept; returns its exit code. */
static int run(const char *const *words)
{
    char *argv[32] = {(char *)"cairn"};
    int argc = 1;
    while (words[argc - 1] != NULL) {
        argv[argc] = (char *)words[argc - 1];
        argc++;
    }
    int out = open("/tmp", O_TMPFILE | O_RDWR, 0600), err = open("/tmp", O_TMPFILE | O_RDWR, 0600),
        status;
    cr_assert(out >= 0 && err >= 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        int code = cmdline_main(&program, argc, argv);
        fflush(NULL);
        _exit(code);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    read_back(out, out_text, sizeof out_text);
    read_back(err, err_text_, sizeof err_text_);
    return WEXITSTATUS(status);
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

#define GOOD(want, ...)                                                                            \
    do {                                                                                           \
        cr_assert_eq(RUN(__VA_ARGS__), 0, "%s", err_text_);                                        \
        cr_assert_str_eq(out_text, want);                                                          \
        cr_assert_str_eq(err_text_, "");                                                           \
    } while (0)

#define WRONG(want, ...)                                                                           \
    do {                                                                                           \
        cr_assert_eq(RUN(__VA_ARGS__), 2);                                                         \
        cr_assert_str_eq(out_text, "");                                                            \
        cr_assert_eq(strncmp(err_text_, "cairn: " want "\n", sizeof("cairn: " want)), 0, "%s",     \
                     err_text_);                                                                   \
        cr_assert(strstr(err_text_, "--help\"") != NULL);                                          \
    } while (0)

Test(cmdline, options_stand_anywhere)
{
    GOOD("set [r] [a=1] urgent=0 json=0 home=none\n", "set", "r", "a=1");
    GOOD("set [r] [a=1] [b=2] by=Eva urgent=1 json=1 home=/x\n", "--home", "/x", "set", "r", "-u",
         "a=1", "--by=Eva", "b=2", "--json");
    GOOD("set [r] [a=1] by=Eva urgent=1 json=0 home=/y\n", "-H/x", "set", "-ubEva", "r", "a=1",
         "--home=/y");
    GOOD("set [r] [-u] urgent=0 json=0 home=none\n", "set", "r", "--", "-u");
    GOOD("set [r] [-] urgent=0 json=0 home=none\n", "set", "r", "-");
    GOOD("set [r] [a=-1] replaces=1:2:3 replaces=4:5:6 urgent=0 json=0 home=none\n", "set",
         "--replaces", "1:2:3", "r", "a=-1", "--replaces=4:5:6");
    GOOD("set [r] [a=1] by= urgent=0 json=0 home=none\n", "set", "r", "a=1", "--by", "");
    GOOD("set [r] [a=1] by=2 urgent=0 json=0 home=none\n", "set", "r", "a=1", "--by", "1", "--by",
         "2");
    GOOD("set [r] [a=1] urgent=1 json=0 home=none\n", "set", "r", "a=1",
         "--urg"); /* begun is enough */
}

Test(cmdline, many_letters_in_one_word)
{
    char word[400] = "-";
    memset(word + 1, 'u', sizeof word - 2);
    GOOD("set [r] [a=1] urgent=1 json=0 home=none\n", "set", word, "r", "a=1");
}

Test(cmdline, fallbacks_and_typed_values)
{
    GOOD("invite x role=field given=0 uses=1 expires=86400000\n", "invite", "x");
    GOOD("invite x role=reader given=1 uses=1000 expires=5400000\n", "invite", "x", "--role",
         "reader", "-n1000", "--expires=1h30m");
}

Test(cmdline, exit_codes_come_from_the_command)
{
    cr_assert_eq(RUN("invite", "refused"), 1);
    WRONG("\"nobody\" cannot be invited", "invite", "nobody");
    cr_assert(strstr(err_text_, "Try \"cairn invite --help\".") != NULL);
}

Test(cmdline, commands_of_two_words)
{
    GOOD("member ls\n", "member", "ls");
    GOOD("member remove [x]\n", "--json", "member", "remove", "x");
    WRONG("\"member\" is one of: \"member ls\", \"member remove\"", "member");
    WRONG("there is no command \"member lst\": did you mean \"member ls\"?", "member", "lst");
    WRONG("there is no command \"member frobnicate\"", "member", "frobnicate");
    cr_assert_eq(RUN("member", "--help"), 0);
    cr_assert(strstr(out_text, "member ls ") != NULL && strstr(out_text, "member remove ") != NULL);
    cr_assert_null(strstr(out_text, "invite"));
}

Test(cmdline, unknown_words_are_answered_with_near_ones)
{
    WRONG("there is no command \"improt\": did you mean \"import\"?", "improt", "x");
    WRONG("there is no command \"inport\": did you mean \"import\"?", "inport");
    WRONG("there is no command \"sett\": did you mean \"set\"?", "sett");
    WRONG("there is no command \"inv\": did you mean \"invite\"?", "inv");
    WRONG("there is no command \"manual\"", "manual");
    WRONG("there is no command \"frobnicate\"", "frobnicate");
    WRONG("there is no option \"--urgnet\": did you mean \"--urgent\"?", "set", "r", "a=1",
          "--urgnet");
    WRONG("there is no option \"--jason\": did you mean \"--json\"?", "--jason", "ls");
    WRONG("there is no option \"--frobnicate\"", "set", "--frobnicate=3", "r");
    WRONG("there is no option \"-x\"", "set", "-ux", "r");
    WRONG("say what to do: cairn COMMAND", "--json");
}

Test(cmdline, options_used_wrongly)
{
    WRONG("--by needs NAME behind it", "set", "r", "a=1", "--by");
    WRONG("--by needs NAME behind it", "set", "r", "a=1", "-b");
    WRONG("--urgent takes no value", "set", "r", "--urgent=yes", "a=1");
    WRONG("--home needs DIR behind it", "--home");
    WRONG("\"--h\" can mean --home or --help", "--h", "ls");
    WRONG("\"init\" needs --dataset TITLE", "init");
    GOOD("init\n", "init", "--dataset", "x");
}

Test(cmdline, values_of_the_wrong_type)
{
    static const char *const bad_numbers[] = {
        "0", "1001", "x", "", "-1", "1.0", "99999999999999999999999", " 1"};
    for (size_t i = 0; i < sizeof bad_numbers / sizeof *bad_numbers; i++) {
        cr_assert_eq(RUN("invite", "x", "--uses", bad_numbers[i]), 2);
        cr_assert(strstr(err_text_, "--uses takes a whole number from 1 to 1000, not \"") != NULL);
    }
    static const char *const bad_times[] = {
        "", "24", "h", "1x", "1h30", "-1h", "1.5h", "9999999999999h", "999999999999w"};
    for (size_t i = 0; i < sizeof bad_times / sizeof *bad_times; i++) {
        cr_assert_eq(RUN("invite", "x", "--expires", bad_times[i]), 2, "%s", bad_times[i]);
        cr_assert(strstr(err_text_, "--expires takes a time like 90s, 24h or 7d, not \"") != NULL);
    }
    WRONG("--role takes one of field|coordinator|reader, not \"fiel\"", "invite", "x", "--role",
          "fiel");
    WRONG("--role takes one of field|coordinator|reader, not \"\"", "invite", "x", "--role", "");
    WRONG("--size takes a whole number from 2 on, not \"1\"", "init", "--dataset=x", "--size=1");
    GOOD("init\n", "init", "--dataset=x", "--size=18446744073709551615");
    static const char *const bad_names[] = {"", "123456789", "a\nb", "\x1b[2J", "\x7f"};
    for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {
        cr_assert_eq(RUN("invite", "x", "--called", bad_names[i]), 2);
        cr_assert(strstr(err_text_, "--called takes one line of 1 to 8 bytes") != NULL);
    }
    static const char *const bad_places[] = {"",        "camp",     ":7117",
                                             "camp:",   "camp:x",   "camp:65535",
                                             "camp:-1", "a camp:1", "camp:1,other:2"};
    for (size_t i = 0; i < sizeof bad_places / sizeof *bad_places; i++) {
        cr_assert_eq(RUN("invite", "x", "--at", bad_places[i]), 2, "%s", bad_places[i]);
        cr_assert(strstr(err_text_, "--at takes HOST:PORT with a port below 65535, not") != NULL);
    }
    cr_assert_eq(RUN("invite", "x", "--called", "12345678", "--at", "[::1]:7117", "--at", "camp:1"),
                 0);
}

Test(cmdline, durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } times[] = {{"0s", 0},         {"5ms", 5},        {"90s", 90000},     {"2m", 120000},
                 {"24h", 86400000}, {"7d", 604800000}, {"2w", 1209600000}, {"1d12h", 129600000}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        uint64_t ms = 1;
        cr_assert(cmdline_read_duration(times[i].text, &ms), "%s", times[i].text);
        cr_assert_eq(ms, times[i].ms);
    }
}

Test(cmdline, arguments_are_counted)
{
    WRONG("\"set\" needs RECORD", "set");
    WRONG("\"set\" needs FIELD=VALUE\xe2\x80\xa6", "set", "r");
    WRONG("\"b\" is too much for \"ls\"", "ls", "a", "b");
    WRONG("\"a\" is too much for \"member ls\"", "member", "ls", "a");
    GOOD("ls\n", "ls");
    GOOD("ls [a]\n", "ls", "a");
    GOOD("read\n", "read");
    GOOD("read [1] [2] [3] [4]\n", "read", "1", "2", "3", "4");
    GOOD("selftest\n", "selftest");
}

Test(cmdline, arity_of_arguments)
{
    static const struct {
        const char *args;
        size_t min, max;
    } rows_[] = {{NULL, 0, 0},
                 {"A", 1, 1},
                 {"A B", 2, 2},
                 {"A [B]", 1, 2},
                 {"[A]", 0, 1},
                 {"A...", 1, SIZE_MAX},
                 {"[A...]", 0, SIZE_MAX},
                 {"A [B...]", 1, SIZE_MAX},
                 {"A B\xe2\x80\xa6", 2, SIZE_MAX},
                 {"[A\xe2\x80\xa6]", 0, SIZE_MAX},
                 {"CATEGORY STREAM KIND [JSON|-]", 3, 4}};
    for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
        cmdline_arity a = cmdline_arity_of(rows_[i].args);
        cr_assert_eq(a.min, rows_[i].min, "%s", rows_[i].args);
        cr_assert_eq(a.max, rows_[i].max, "%s", rows_[i].args);
    }
}

Test(cmdline, help_of_the_program)
{
    cr_assert_eq(RUN("--help"), 0);
    static char first[sizeof out_text];
    memcpy(first, out_text, sizeof first);
    static const char *const parts[] = {"cairn - a dataset that converges\n",
                                        "\nset up\n  init                    make a dataset\n",
                                        "\nmembers\n  member ls               say who belongs\n",
                                        "\nglobal options\n",
                                        "  -H, --home DIR          the node's directory\n",
                                        "      --json              print JSON\n",
                                        "  -h, --help              explain",
                                        "  completion "};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_assert(strstr(first, parts[i]) != NULL, "%s", parts[i]);
    cr_assert_null(strstr(first, "selftest"));
    cr_assert_eq(RUN("help"), 0);
    cr_assert_str_eq(first, out_text);
    cr_assert_eq(RUN("-h", "ls"), 0);
    cr_assert_str_eq(first, out_text);
}

Test(cmdline, help_of_a_command)
{
    static const char want[] =
        "usage: cairn set RECORD FIELD=VALUE\xe2\x80\xa6 [options]\n"
        "\n"
        "Set fields of a record.\n"
        "\n"
        "What it replaces is what is live here.\n"
        "\n"
        "This is a second paragraph that is long enough to be broken into two lines at\n"
        "eighty columns.\n"
        "\n"
        "  as it is\n"
        "\n"
        "options\n"
        "  -b, --by NAME           who says so\n"
        "      --replaces REF      what the writer's screen showed; may be given several\n"
        "                          times\n"
        "  -u, --urgent            write it to the express feed\n"
        "\n"
        "examples\n"
        "  cairn set 3-1kx7 depth=48\n"
        "  cairn set a .b='c'\n"
        "\n"
        "Global options: cairn --help\n";
    GOOD(want, "set", "--help");
    GOOD(want, "set", "r", "-h", "--nonsense"); /* whoever asks for help gets it */
    GOOD(want, "help", "set");
    cr_assert_eq(RUN("help", "invite"), 0);
    cr_assert(strstr(out_text, "      --role field|coordinator|reader\n                          "
                               "what it may do (default: field)\n"));
    cr_assert_eq(RUN("help", "member", "ls"), 0);
    cr_assert_eq(strncmp(out_text, "usage: cairn member ls\n", 23), 0);
    WRONG("there is no command \"frob\"", "help", "frob");
    WRONG("there is no command \"member frob\"", "help", "member", "frob");
}

Test(cmdline, version)
{
    GOOD("cairn 0.1.0\n", "--version");
    GOOD("cairn 0.1.0\n", "ls", "--version");
}

Test(cmdline, man_page)
{
    cr_assert_eq(RUN("man"), 0);
    static const char *const parts[] = {
        ".TH \"CAIRN\" 1 \"\" \"cairn 0.1.0\" \"User commands\"\n.SH NAME\ncairn \\- a dataset "
        "that converges\n",
        ".SS \"cairn set RECORD FIELD=VALUE\xe2\x80\xa6 [options]\"\nSet fields of a record.\n",
        "\\fB\\-b\\fR, \\fB\\-\\-by\\fR \\fINAME\\fR\nwho says so.\n",
        "(default: 24h).\n",
        "cairn set 3\\-1kx7 depth=48\n",
        ".SH \"ENVIRONMENT\"\n.PP\nCAIRN_HOME is as \\-\\-home.\n",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_assert(strstr(out_text, parts[i]) != NULL, "%s", parts[i]);
    cr_assert_null(strstr(out_text, "selftest"));
}

Test(cmdline, man_page_text_is_never_a_macro)
{
    static const cmdline_row odd[] = {{.name = "odd",
                                       .doc = "x",
                                       .about = ".TH is \\fBno\\fR \"macro\"\n'here",
                                       .run = run_name}};
    cmdline_program p = {.name = "odd", .version = "1", .doc = "d", .rows = odd, .n_rows = 1};
    buf out;
    buf_init(&out, CMDLINE_TEXT_MAX_BYTES);
    cmdline_put_man(&p, &out);
    buf_add_u8(&out, 0);
    cr_assert(strstr((const char *)out.p, "\n\\&.TH is \\efBno\\efR \\(dqmacro\\(dq\n\\&'here\n") !=
              NULL);
    buf_release(&out);
}

/* What bash offers for a line whose last word is being typed, sorted. */
static void complete(const char *want, const char *words, int at)
{
    char line[512], got[4096];
    snprintf(line, sizeof line,
             "bash --norc --noprofile -c 'source ./completion.bash; COMP_WORDS=(%s); "
             "COMP_CWORD=%d; _cairn; "
             "printf \"%%s\\n\" \"${COMPREPLY[@]}\"' | sort | tr '\\n' ' '",
             words, at);
    FILE *p = popen(line, "r");
    cr_assert_not_null(p);
    size_t n = fread(got, 1, sizeof got - 1, p);
    got[n] = '\0';
    cr_assert_eq(pclose(p), 0);
    cr_assert_str_eq(got, want, "%s: %s", words, got);
}

Test(cmdline, bash_completes)
{
    char directory[] = "/tmp/cairn-cmdline-XXXXXX";
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(chdir(directory), 0);
    cr_assert_eq(RUN("completion", "bash"), 0);
    FILE *f = fopen("completion.bash", "w");
    cr_assert_not_null(f);
    fputs(out_text, f);
    fclose(f);
    cr_assert_eq(mkdir("data", 0700), 0);
    complete("import init invite ", "cairn i", 1);
    complete("--help --home ", "cairn --h", 1);
    complete("ls remove ", "cairn member \"\"", 2);
    complete("remove ", "cairn --home /x member r", 4);
    complete("--by ", "cairn set r --b", 3);
    complete("--help --home ", "cairn member ls --h", 3);
    complete("coordinator field reader ", "cairn invite x --role \"\"", 4);
    complete("coordinator ", "cairn invite --role c", 3);
    complete("completion.bash ", "cairn import c", 2);
    complete("data ", "cairn --home d", 2);
    complete(" ", "cairn set r --by d", 4);
    complete(" ", "cairn ls d", 2);
    unlink("completion.bash");
    rmdir("data");
    cr_assert_eq(chdir("/"), 0);
    rmdir(directory);
    WRONG("only bash is known, not \"fish\"", "completion", "fish");
}

Test(cmdline, a_full_disk_is_a_failure)
{
    char *argv[] = {(char *)"cairn", (char *)"man", NULL};
    int status, full = open("/dev/full", O_WRONLY), err = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(full, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        int code = cmdline_main(&program, 2, argv);
        fflush(stderr);
        _exit(code);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(WEXITSTATUS(status), 1);
    close(full);
    read_back(err, err_text_, sizeof err_text_);
    cr_assert(strstr(err_text_, "cairn: cannot write to standard output: ") != NULL, "%s",
              err_text_);
}
