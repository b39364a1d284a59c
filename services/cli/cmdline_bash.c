/* Completion for bash, from the same rows as --help. It needs nothing but bash. */
#include "cli/cmdline_impl.h"

#include <string.h>

static void put_option_words(buf *out, const cmdline_option *options)
{
    for (const cmdline_option *o = options; o != NULL && o->name != NULL; o++)
        (void)buf_addf(out, "--%s ", o->name);
}

static const char *files_of(const char *arg)
{
    if (arg == NULL)
        return NULL;
    return strstr(arg, "FILE") != NULL ? "-f" : strstr(arg, "DIR") != NULL ? "-d" : NULL;
}

/* One branch "command|--option)" per option whose value can be completed. */
static void put_values(buf *out, const char *command, const cmdline_option *options)
{
    for (const cmdline_option *o = options; o != NULL && o->name != NULL; o++) {
        const char *files = files_of(o->arg);
        if (!cmdline_takes_value(o))
            continue;
        (void)buf_addf(out, "    \"%s|--%s\"", command, o->name);
        if (o->letter != 0)
            (void)buf_addf(out, "|\"%s|-%c\"", command, o->letter);
        (void)buf_add_str(out, ")\n        ");
        if (o->type == OPT_CHOICE) {
            (void)buf_add_str(out, "COMPREPLY=($(compgen -W '");
            for (const char *p = o->arg; *p != '\0'; p++)
                (void)buf_add_u8(out, (uint8_t)(*p == '|' ? ' ' : *p));
            (void)buf_add_str(out, "' -- \"$cur\"));");
        } else if (files != NULL) {
            (void)buf_addf(out, "COMPREPLY=($(compgen %s -- \"$cur\"));", files);
        }
        (void)buf_add_str(out, " return ;;\n");
    }
}

/* Options that a word follows, as patterns: so that a value is not taken for the command. */
static void put_value_options(buf *out, const cmdline_option *options)
{
    for (const cmdline_option *o = options; o != NULL && o->name != NULL; o++)
        if (cmdline_takes_value(o)) {
            (void)buf_addf(out, "|--%s", o->name);
            if (o->letter != 0)
                (void)buf_addf(out, "|-%c", o->letter);
        }
}

/* The first words of all names, each once; rows of a family stand together. */
static void put_first_words(buf *out, const cmdline_program *program)
{
    const cmdline_row *row;
    const char *last = "";
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++) {
        size_t n = cmdline_first_word(row->name);
        if (!row->hidden && (cmdline_first_word(last) != n || strncmp(last, row->name, n) != 0))
            (void)buf_addf(out, "%.*s ", (int)n, row->name);
        last = row->name;
    }
}

/* Second words of the family that `row` begins, and whether it is the first of it. */
static void put_family(buf *out, const cmdline_program *program, size_t at)
{
    const cmdline_row *row = cmdline_row_at(program, at), *other;
    size_t n = cmdline_first_word(row->name);
    for (size_t i = 0; i < at; i++)
        if (strncmp(cmdline_row_at(program, i)->name, row->name, n + 1) == 0)
            return;
    (void)buf_addf(out, "    %.*s) COMPREPLY=($(compgen -W '", (int)n, row->name);
    for (size_t i = at; (other = cmdline_row_at(program, i)) != NULL; i++)
        if (strncmp(other->name, row->name, n + 1) == 0)
            (void)buf_addf(out, "%s ", other->name + n + 1);
    (void)buf_add_str(out, "' -- \"$cur\")); return ;;\n");
}

static void put_families(buf *out, const cmdline_program *program)
{
    const cmdline_row *row;
    (void)buf_add_str(out, "    case \"$command\" in\n    '') COMPREPLY=($(compgen -W '");
    put_first_words(out, program);
    put_option_words(out, program->options);
    put_option_words(out, cmdline_own_options);
    (void)buf_add_str(out, "' -- \"$cur\")); return ;;\n");
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++)
        if (strchr(row->name, ' ') != NULL)
            put_family(out, program, i);
    (void)buf_add_str(out, "    esac\n");
}

static void put_commands(buf *out, const cmdline_program *program)
{
    const cmdline_row *row;
    (void)buf_add_str(out, "    local words= files=\n    case \"$command\" in\n");
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++) {
        const char *files = files_of(row->args);
        (void)buf_addf(out, "    '%s') words='", row->name);
        put_option_words(out, row->options);
        (void)buf_addf(out, "'%s%s ;;\n", files ? " files=" : "", files ? files : "");
    }
    (void)buf_add_str(out, "    esac\n");
}

/* Which command the words before the cursor say: the words that are neither options nor their values. */
static void put_search(buf *out, const cmdline_program *program)
{
    const cmdline_row *row;
    (void)buf_add_str(out, "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" "
                           "prev=\"${COMP_WORDS[COMP_CWORD-1]}\" command= word i\n"
                           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                           "        word=\"${COMP_WORDS[i]}\"\n"
                           "        case \"$word\" in\n"
                           "        ''");
    put_value_options(out, program->options);
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++)
        put_value_options(out, row->options);
    (void)buf_add_str(out, ") ((i++)) ;;\n"
                           "        -*) ;;\n"
                           "        *)\n"
                           "            case \"$command\" in\n"
                           "            '') command=\"$word\" ;;\n");
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++) {
        size_t n = cmdline_first_word(row->name);
        if (row->name[n] == ' ')
            (void)buf_addf(out, "            %.*s) [ \"$word\" = %s ] && command='%s' ;;\n", (int)n,
                           row->name, row->name + n + 1, row->name);
    }
    (void)buf_add_str(out, "            esac ;;\n"
                           "        esac\n"
                           "    done\n");
}

void cmdline_put_bash(const cmdline_program *program, buf *out)
{
    const cmdline_row *row;
    (void)buf_addf(out,
                   "# bash completion for %s %s: source this file, or write it to\n"
                   "# ~/.local/share/bash-completion/completions/%s\n_%s()\n{\n",
                   program->name, program->version, program->name, program->name);
    put_search(out, program);
    (void)buf_add_str(out, "    COMPREPLY=()\n    case \"$command|$prev\" in\n");
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++)
        put_values(out, row->name, row->options);
    (void)buf_add_str(out, "    esac\n    case \"|$prev\" in\n");
    put_values(out, "", program->options);
    (void)buf_add_str(out, "    esac\n");
    put_families(out, program);
    put_commands(out, program);
    (void)buf_add_str(out, "    words=\"$words ");
    put_option_words(out, program->options);
    put_option_words(out, cmdline_own_options);
    (void)buf_addf(out,
                   "\"\n"
                   "    case \"$cur\" in\n"
                   "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
                   "    *) [ -n \"$files\" ] && COMPREPLY=($(compgen $files -- \"$cur\")) ;;\n"
                   "    esac\n"
                   "}\n"
                   "complete -o filenames -F _%s %s\n",
                   program->name, program->name);
}
