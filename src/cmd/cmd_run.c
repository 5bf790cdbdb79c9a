/* moat run: a chat in the terminal, or one answer for a script. With stdout piped nothing but the answer goes there. */
#include "cmds.h"
#include "chat.h"
#include "sampling.h"
#include "talk.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PROMPT_BYTES_MAX = 8 << 20 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

struct run {
    const struct cmd_opts *opts;
    struct chat *chat;
    struct talk talk;
    struct buf answer; /* the answer so far, to become a turn of the conversation */
    struct chat_answer last;
};

/* ---- one answer ----------------------------------------------------------------------------------------------------- */

static void print_text(void *ctx, struct str text) {
    struct run *run = ctx;
    buf_str(&run->answer, text);
    fwrite(text.p, 1, text.n, stdout);
    fflush(stdout);
}

/* After an answer and its new-line, with --verbose. */
static void print_speed(const struct run *run) {
    const struct chat_answer *answer = &run->last;
    const struct gen_usage *u = &answer->usage;
    if (!run->opts->verbose)
        return;
    fflush(stdout);
    fprintf(stderr, "moat: %u prompt tokens (%u cached) in %.0f ms; %u tokens in %.2f s, %.1f tokens/s; seed %llu\n",
            u->prompt_tokens, u->cached_tokens, (double)u->prefill_ns / 1e6, u->completion_tokens, (double)u->decode_ns / 1e9,
            u->decode_ns ? (double)u->completion_tokens * 1e9 / (double)u->decode_ns : 0.0, (unsigned long long)answer->seed);
}

/* Asks with the conversation as it stands, the text of an answer goes to stdout and becomes the next turn. */
static int answer_talk(struct run *run, struct err *e) {
    struct gen_req *req = calloc(1, sizeof *req);
    struct buf body = {0};
    struct chat_answer answer = {0};
    char now[32] = "";
    time_t t = time(NULL);
    struct tm local;
    if (!req)
        return err_set(e, ERR_MEMORY, "", "out of memory");
    if (localtime_r(&t, &local))
        strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S", &local);
    bool chat = chat_model(run->chat)->has_template;
    if (chat)
        talk_json(&run->talk, &body);
    else
        buf_str(&body, talk_last(&run->talk));
    req->kind = chat ? GEN_CHAT : GEN_TEXT;
    req->body = buf_as_str(&body);
    req->now = str_of(now);
    req->add_special = !chat;
    int r = body.failed ? err_set(e, ERR_MEMORY, "", "out of memory") : sampling_fill(run->opts, req, e);
    if (!run->opts->n_given)
        req->max_tokens = 0;
    run->answer.n = 0;
    interrupted = 0;
    if (r == 0)
        r = chat_ask(run->chat, req, print_text, run, (volatile const int *)&interrupted, &answer, e);
    if (r < 0 && answer.refused == GEN_CONTEXT_EXCEEDED && e)
        e->code = ERR_LIMIT; /* the caller may shorten the conversation */
    run->last = answer;
    free(req);
    buf_free(&body);
    return r;
}

/* As answer_talk; a conversation that has outgrown the context loses its oldest exchange until it fits. */
static int answer_fitting(struct run *run, struct err *e) {
    for (;;) {
        struct err why = {0};
        int r = answer_talk(run, &why);
        if (r < 0 && why.code == ERR_LIMIT && talk_forget_oldest(&run->talk)) {
            fprintf(stderr, "moat: the conversation is longer than the context; its oldest exchange is forgotten\n");
            continue;
        }
        if (r < 0)
            return err_set(e, why.code, why.where, "%s", why.msg);
        return talk_add(&run->talk, "assistant", buf_as_str(&run->answer), e);
    }
}

/* One prompt of a script: the answer, a new-line, the end. */
static int run_once(struct run *run, struct str prompt, struct err *e) {
    int r = talk_add(&run->talk, "user", prompt, e);
    if (r == 0)
        r = answer_talk(run, e);
    if (r == 0 && (run->answer.n == 0 || run->answer.p[run->answer.n - 1] != '\n'))
        putchar('\n');
    if (r == 0)
        print_speed(run);
    return r == 0 && interrupted ? err_set(e, ERR_STOPPED, "answer", "was interrupted") : r;
}

static int read_stdin(struct buf *prompt, struct err *e) {
    prompt->max = PROMPT_BYTES_MAX;
    char piece[4096];
    ssize_t n;
    while ((n = read(STDIN_FILENO, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR && !interrupted))
        buf_add(prompt, piece, n > 0 ? (size_t)n : 0);
    if (prompt->failed)
        return err_set(e, ERR_LIMIT, "stdin", "is longer than %d bytes", PROMPT_BYTES_MAX);
    while (prompt->n && prompt->p[prompt->n - 1] == '\n')
        prompt->n--;
    return prompt->n ? 0 : err_set(e, ERR_USAGE, "stdin", "is empty; give a prompt as argument or on stdin");
}

/* ---- the terminal ------------------------------------------------------------------------------------------------------ */

struct terminal {
    EditLine *edit;
    History *history;
    HistEvent event;
    char history_file[4096];
    bool continued; /* the next line belongs to the message begun */
};

static char *show_prompt(EditLine *edit) {
    static char first[] = "> ", more[] = ". ";
    struct terminal *t = NULL;
    el_get(edit, EL_CLIENTDATA, &t);
    return t && t->continued ? more : first;
}

/* $XDG_STATE_HOME/moat/history, else ~/.local/state/moat/history; empty when there is no home. */
static void find_history(struct terminal *t) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char dir[4000] = "";
    if (state && *state)
        snprintf(dir, sizeof dir, "%s/moat", state);
    else if (home && *home)
        snprintf(dir, sizeof dir, "%s/.local/state/moat", home);
    if (dir[0] && fs_mkdirs(dir, NULL) == 0)
        snprintf(t->history_file, sizeof t->history_file, "%s/history", dir);
}

static int terminal_open(struct terminal *t, struct err *e) {
    setlocale(LC_CTYPE, "C.UTF-8"); /* characters only: numbers are never read or written under a locale */
    t->edit = el_init("moat", stdin, stdout, stderr);
    t->history = history_init();
    if (!t->edit || !t->history)
        return err_set(e, ERR_ENV, "terminal", "cannot be used for editing (TERM is %s)",
                       getenv("TERM") ? getenv("TERM") : "not set");
    history(t->history, &t->event, H_SETSIZE, 1000);
    history(t->history, &t->event, H_SETUNIQUE, 1);
    el_set(t->edit, EL_CLIENTDATA, t);
    el_set(t->edit, EL_PROMPT, show_prompt);
    el_set(t->edit, EL_EDITOR, "emacs");
    el_set(t->edit, EL_HIST, history, t->history);
    el_set(t->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    find_history(t);
    if (t->history_file[0])
        history(t->history, &t->event, H_LOAD, t->history_file);
    return 0;
}

static void terminal_close(struct terminal *t) {
    if (t->history && t->history_file[0])
        history(t->history, &t->event, H_SAVE, t->history_file);
    if (t->history)
        history_end(t->history);
    if (t->edit)
        el_end(t->edit);
}

/* Adds one line to the message; true when more lines belong to it. A line that ends in \ goes on; """ opens and closes a block. */
static bool add_line(struct buf *message, struct str line, bool *block) {
    bool fence = line.n >= 3 && memcmp(line.p + line.n - 3, "\"\"\"", 3) == 0;
    if (*block) {
        buf_add(message, line.p, fence ? line.n - 3 : line.n);
        *block = !fence;
        if (*block)
            buf_byte(message, '\n');
        return *block;
    }
    if (message->n == 0 && str_starts(line, STR("\"\"\""))) {
        struct str rest = {line.p + 3, line.n - 3};
        *block = true;
        if (rest.n)
            return add_line(message, rest, block);
        return true;
    }
    bool more = line.n && line.p[line.n - 1] == '\\';
    buf_add(message, line.p, more ? line.n - 1 : line.n);
    if (more)
        buf_byte(message, '\n');
    return more;
}

/* Reads one message of the user. 1: there is one; 0: the end of input. Ctrl-C gives up what was typed. */
static int read_message(struct terminal *t, struct buf *message) {
    bool block = false, more = true;
    message->n = 0;
    t->continued = false;
    while (more) {
        int n = 0;
        interrupted = 0;
        const char *line = el_gets(t->edit, &n);
        if (interrupted || (!line && n == -1 && errno == EINTR)) {
            fputs("^C\n", stdout);
            el_reset(t->edit);
            message->n = 0;
            block = t->continued = false;
            continue;
        }
        if (!line || n <= 0)
            return 0;
        struct str text = {line, (size_t)n - (line[n - 1] == '\n')};
        if (text.n)
            history(t->history, &t->event, H_ENTER, line);
        more = t->continued = add_line(message, text, &block);
    }
    return 1;
}

/* What is typed during an answer is kept for the next prompt as it was typed, Ctrl-D too, and not echoed into the answer. */
static int answer_in_terminal(struct run *run, struct err *e) {
    struct termios usual;
    bool set = tcgetattr(STDIN_FILENO, &usual) == 0;
    if (set) {
        struct termios quiet = usual;
        quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    }
    int r = answer_fitting(run, e);
    putchar('\n');
    if (r == 0)
        print_speed(run);
    if (set)
        tcsetattr(STDIN_FILENO, TCSANOW, &usual);
    return r;
}

static void show_help(void) {
    fputs("/help           this text\n"
          "/clear          forget the conversation\n"
          "/system TEXT    set the system prompt and forget the conversation\n"
          "/retry          answer the last message again\n"
          "/info           the model and its fingerprint\n"
          "/exit           leave (also Ctrl-D)\n"
          "A line that ends in \\ goes on in the next; \"\"\" begins and ends a message of several lines.\n"
          "Ctrl-C stops an answer.\n",
          stderr);
}

static void show_info(const struct wire_model *m) {
    fprintf(
        stderr,
        "%s: %s, %.1f million parameters, %.1f MB, vocabulary %u, context %u (trained for %u)\nfingerprint moat-%s, %s, %u threads\n",
        m->name, m->family, (double)m->n_params / 1e6, (double)m->weight_bytes / 1e6, m->n_vocab, m->ctx, m->ctx_train,
        m->fingerprint, m->isa, m->threads);
}

enum command { COMMAND_NONE, COMMAND_DONE, COMMAND_RETRY, COMMAND_EXIT };

/* A message that begins with / is for us, not for the model. */
static enum command run_command(struct run *run, struct str text, struct err *e) {
    if (!str_starts(text, STR("/")))
        return COMMAND_NONE;
    if (str_is(text, "/exit") || str_is(text, "/quit") || str_is(text, "/bye"))
        return COMMAND_EXIT;
    if (str_is(text, "/retry"))
        return talk_drop_answer(&run->talk) ? COMMAND_RETRY : COMMAND_DONE;
    if (str_is(text, "/clear"))
        talk_clear(&run->talk);
    else if (str_is(text, "/info"))
        show_info(chat_model(run->chat));
    else if (str_starts(text, STR("/system ")))
        return talk_set_system(&run->talk, (struct str){text.p + 8, text.n - 8}, e) < 0 ? COMMAND_EXIT : COMMAND_DONE;
    else {
        if (!str_is(text, "/help"))
            fprintf(stderr, "%.*s: is no command of the chat, or lacks its text\n", text.n < 60 ? (int)text.n : 60, text.p);
        show_help();
    }
    return COMMAND_DONE;
}

static int run_terminal(struct run *run, struct err *e) {
    struct terminal t = {0};
    struct buf message = {.max = PROMPT_BYTES_MAX};
    int r = terminal_open(&t, e);
    if (r == 0)
        fprintf(stderr, "moat: %s; /help shows the commands, Ctrl-D leaves\n", chat_model(run->chat)->name);
    if (r == 0 && !chat_model(run->chat)->has_template)
        fprintf(stderr, "moat: this model has no chat template: it goes on with each text as it stands\n");
    while (r == 0 && read_message(&t, &message)) {
        if (message.n == 0)
            continue;
        enum command command = run_command(run, buf_as_str(&message), e);
        if (command == COMMAND_EXIT)
            break;
        if (command == COMMAND_NONE)
            r = talk_add(&run->talk, "user", buf_as_str(&message), e);
        if (r < 0 || command == COMMAND_DONE)
            continue;
        struct err why = {0};
        int answered = answer_in_terminal(run, &why);
        if (answered < 0) {
            cmd_print_error(NULL, &why);
            talk_drop_last(&run->talk);
            r = why.code == ERR_ENV ? err_set(e, why.code, why.where, "%s", why.msg) : 0;
        }
    }
    if (r == 0)
        r = e->code;
    buf_free(&message);
    terminal_close(&t);
    return r;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

static void fill_open(const struct cmd_opts *o, const struct cmd_model *m, struct wire_open *open) {
    *open = (struct wire_open){.ctx = (uint32_t)o->ctx,
                               .parallel = 1,
                               .threads = (uint32_t)o->threads,
                               .chunk = (uint32_t)o->chunk,
                               .nice = (uint32_t)o->nice,
                               .queue = 4,
                               .kv_type = cmd_kv_type(o->kv)};
    snprintf(open->name, sizeof open->name, "%s", m->name);
    snprintf(open->path, sizeof open->path, "%s", m->path);
    if (m->from_store)
        digest_hex(&m->weights, open->digest);
    if (m->packed >= 0)
        digest_hex(&m->source, open->packed);
    snprintf(open->isa, sizeof open->isa, "%s", o->isa ? o->isa : getenv("MOAT_ISA") ? getenv("MOAT_ISA") : "");
}

static int run_model(struct run *run, const struct cmd_args *a, struct err *e) {
    struct buf prompt = {0};
    int r = run->opts->system ? talk_set_system(&run->talk, str_of(run->opts->system), e) : 0;
    if (r < 0)
        return r;
    bool from_stdin = a->n_args < 2 ? !isatty(STDIN_FILENO) : strcmp(a->args[1], "-") == 0;
    if (from_stdin)
        r = read_stdin(&prompt, e);
    else if (a->n_args >= 2)
        buf_z(&prompt, a->args[1]);
    if (r == 0 && a->n_args >= 2 && prompt.n == 0)
        r = err_set(e, ERR_USAGE, "PROMPT", "is empty; leave it out for a chat");
    if (r == 0)
        r = prompt.n ? run_once(run, buf_as_str(&prompt), e) : run_terminal(run, e);
    buf_free(&prompt);
    return r;
}

int cmd_run(struct cmd_args *a, struct err *e) {
    struct run run = {.opts = &a->opts};
    struct cmd_model model;
    struct wire_open open;
    struct sigaction on_int = {.sa_handler = on_interrupt}; /* no SA_RESTART: waits end */
    int r = cmd_model_open(a->n_args ? a->args[0] : NULL, &model, e);
    if (r < 0)
        return r;
    cmd_model_packed(&model);
    fill_open(&a->opts, &model, &open);
    r = chat_open(model.fd, model.packed, &open, &run.chat, e);
    cmd_model_close(&model);
    if (r < 0)
        return r;
    sigaction(SIGINT, &on_int, NULL);
    r = run_model(&run, a, e);
    chat_close(run.chat);
    talk_free(&run.talk);
    buf_free(&run.answer);
    return r;
}
