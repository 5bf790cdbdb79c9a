/* bench_print: records as llama-bench writes them: a table, CSV, JSON, JSON a line, or SQL, with its keys where they mean the same. */
#include "bench.h"

#include <math.h>
#include <string.h>
#include <time.h>

static double rate(const struct bench_record *r, uint32_t i) {
    return bench_tokens(&r->test) * 1e9 / (double)r->samples[i].ns;
}

static double ns_at(const struct bench_record *r, uint32_t i) {
    return (double)r->samples[i].ns;
}

static double cpu_ns_at(const struct bench_record *r, uint32_t i) {
    return (double)r->samples[i].cpu_ns;
}

static double foreign_at(const struct bench_record *r, uint32_t i) {
    return r->samples[i].foreign;
}

struct spread {
    double mean, deviation;
};

static struct spread spread_of(const struct bench_record *r, double (*at)(const struct bench_record *, uint32_t)) {
    struct spread s = {0, 0};
    double squares = 0;
    for (uint32_t i = 0; i < r->n_samples; i++)
        s.mean += at(r, i) / r->n_samples;
    for (uint32_t i = 0; i < r->n_samples; i++)
        squares += (at(r, i) - s.mean) * (at(r, i) - s.mean);
    s.deviation = r->n_samples > 1 ? sqrt(squares / (r->n_samples - 1)) : 0;
    return s;
}

/* By wall time; where others ran too, by CPU time as if it were spread over all threads. */
static double ceiling_share(const struct bench_context *x, const struct bench_record *r) {
    bool quiet = spread_of(r, foreign_at).mean <= x->noise;
    double compute = r->ideal.products_ns + r->ideal.attention_ns,
           ideal = compute > r->ideal.read_ns ? compute : r->ideal.read_ns;
    return ideal / (quiet ? spread_of(r, ns_at).mean : spread_of(r, cpu_ns_at).mean / x->threads);
}

/* "pp512", "tg64 @ d100", "tg32 x 16", "pp512+tg64", "pp512 among tg64 x 4", "start 20" */
static void test_name(const struct bench_test *t, char name[96]) {
    char gen[24], seqs[24] = "", depth[24] = "";
    snprintf(gen, sizeof gen, "tg%u", t->n_gen);
    if (t->n_seqs > 1)
        snprintf(seqs, sizeof seqs, " x %u", t->n_seqs);
    if (t->n_depth)
        snprintf(depth, sizeof depth, " @ d%u", t->n_depth);
    switch (t->kind) {
    case BENCH_PREFILL: snprintf(name, 96, "pp%u%s", t->n_prompt, depth); break;
    case BENCH_DECODE: snprintf(name, 96, "%s%s%s", gen, seqs, depth); break;
    case BENCH_PROMPT_GEN: snprintf(name, 96, "pp%u+%s%s", t->n_prompt, gen, depth); break;
    case BENCH_MIXED: snprintf(name, 96, "pp%u among %s%s%s", t->n_prompt, gen, seqs, depth); break;
    case BENCH_START: snprintf(name, 96, "start %u", t->n_prompt); break;
    }
}

/* ---- fields ----------------------------------------------------------------------------------------------------------- */

/* Writes one record's fields in one of several ways; `n` counts them. */
enum fields_form { FIELDS_JSON, FIELDS_KEYS, FIELDS_CSV, FIELDS_SQL, FIELDS_COLUMNS };
struct fields {
    struct buf *out;
    enum fields_form form;
    unsigned n;
};

/* What comes before a field's value; true where the value is to follow. */
static bool field_begin(struct fields *f, const char *key, const char *column) {
    static const char *const between[] = {
        [FIELDS_JSON] = ", ", [FIELDS_KEYS] = ",", [FIELDS_CSV] = ",", [FIELDS_SQL] = ", ", [FIELDS_COLUMNS] = ",\n  "};
    buf_z(f->out, f->n++ == 0 ? "" : between[f->form]);
    if (f->form == FIELDS_JSON)
        buf_fmt(f->out, "\"%s\": ", key);
    else if (f->form == FIELDS_COLUMNS)
        buf_fmt(f->out, "%s %s", key, column);
    else if (f->form == FIELDS_KEYS)
        buf_z(f->out, key);
    return f->form != FIELDS_COLUMNS && f->form != FIELDS_KEYS;
}

static void field_text(struct fields *f, const char *key, struct str value) {
    if (!field_begin(f, key, "TEXT"))
        return;
    if (f->form == FIELDS_JSON) {
        buf_json(f->out, value);
        return;
    }
    const char quote = f->form == FIELDS_SQL ? '\'' : '"'; /* doubled inside, in both */
    buf_byte(f->out, quote);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == quote)
            buf_byte(f->out, quote);
        buf_byte(f->out, value.p[i]);
    }
    buf_byte(f->out, quote);
}

static void field_number(struct fields *f, const char *key, double value, int digits) {
    if (field_begin(f, key, digits ? "REAL" : "INTEGER"))
        buf_fmt(f->out, "%.*f", digits, value);
}

static void field_samples(struct fields *f, const char *key, const struct bench_record *r, int digits,
                          double (*at)(const struct bench_record *, uint32_t)) {
    if (f->form != FIELDS_JSON)
        return;
    buf_fmt(f->out, ", \"%s\": [", key);
    for (uint32_t i = 0; i < r->n_samples; i++)
        buf_fmt(f->out, "%s%.*f", i ? ", " : "", digits, at(r, i));
    buf_z(f->out, "]");
}

/* As /proc/cpuinfo names the first processor; empty where it does not. */
static void cpu_name(char name[128]) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    name[0] = 0;
    while (f && !name[0] && fgets(line, sizeof line, f))
        (void)sscanf(line, "model name : %127[^\n]", name);
    if (f)
        fclose(f);
}

static void put_model(struct fields *f, const struct bench_context *x) {
    const struct model_info *info = model_info(x->c->model);
    char cpu[128];
    cpu_name(cpu);
    field_text(f, "build_commit", STR(MOAT_VERSION));
    field_text(f, "cpu_info", str_of(cpu));
    field_text(f, "backends", STR("CPU"));
    field_text(f, "isa", str_of(x->c->kern->name));
    field_text(f, "model_filename", str_of(x->model));
    field_text(f, "model_type", str_of(info->family));
    field_number(f, "model_size", (double)info->weight_bytes, 0);
    field_number(f, "model_n_params", (double)info->n_params, 0);
    field_number(f, "n_batch", x->c->chunk, 0);
    field_number(f, "n_ubatch", x->c->chunk, 0);
    field_number(f, "n_threads", x->threads, 0);
    field_text(f, "type_k", str_of(x->kv));
    field_text(f, "type_v", str_of(x->kv));
}

static void put_record(struct fields *f, const struct bench_context *x, const struct bench_record *r) {
    char name[96], when[32] = "";
    time_t now = (time_t)clock_wall_s();
    struct tm tm;
    test_name(&r->test, name);
    if (gmtime_r(&now, &tm))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    struct spread ns = spread_of(r, ns_at), ts = spread_of(r, rate);
    put_model(f, x);
    field_text(f, "test", str_of(name));
    field_number(f, "n_prompt", r->test.n_prompt, 0);
    field_number(f, "n_gen", r->test.n_gen, 0);
    field_number(f, "n_depth", r->test.n_depth, 0);
    field_number(f, "n_seqs", r->test.n_seqs, 0);
    field_text(f, "test_time", str_of(when));
    field_number(f, "avg_ns", ns.mean, 0);
    field_number(f, "stddev_ns", ns.deviation, 0);
    field_number(f, "avg_ts", ts.mean, 3);
    field_number(f, "stddev_ts", ts.deviation, 3);
    field_number(f, "foreign_cpu", spread_of(r, foreign_at).mean, 3);
    field_number(f, "n_dropped", r->n_taken - r->n_samples, 0);
    field_number(f, "ceiling_share", ceiling_share(x, r), 3);
    field_number(f, "ceiling_products_ns", r->ideal.products_ns, 0);
    field_number(f, "ceiling_attention_ns", r->ideal.attention_ns, 0);
    field_number(f, "ceiling_read_ns", r->ideal.read_ns, 0);
    field_number(f, "rss_bytes_peak", (double)r->rss_bytes_peak, 0);
    field_samples(f, "samples_ns", r, 0, ns_at);
    field_samples(f, "samples_cpu_ns", r, 0, cpu_ns_at);
    field_samples(f, "samples_ts", r, 3, rate);
}

/* ---- the table -------------------------------------------------------------------------------------------------------------- */

static void table_row(struct buf *out, const struct bench_context *x, const struct bench_record *r) {
    const struct model_info *info = model_info(x->c->model);
    bool start = r->test.kind == BENCH_START;
    struct spread s = spread_of(r, start ? ns_at : rate);
    char name[96], share[16] = "";
    test_name(&r->test, name);
    if (r->ideal.read_ns > 0)
        snprintf(share, sizeof share, "%.0f %%", 100 * ceiling_share(x, r));
    buf_fmt(out, "| %s | %.2f MiB | %.2f M | %s | %u | %s | ", x->c->file.name, (double)info->weight_bytes / 1048576,
            (double)info->n_params / 1e6, x->c->kern->name, x->threads, name);
    if (start)
        buf_fmt(out, "%.0f ± %.0f ms, %.1f MiB", s.mean / 1e6, s.deviation / 1e6, (double)r->rss_bytes_peak / 1048576);
    else
        buf_fmt(out, "%.2f ± %.2f", s.mean, s.deviation);
    buf_fmt(out, " | %s | %.0f %% |\n", share, 100 * spread_of(r, foreign_at).mean);
}

/* All rounds noisy: what was measured is the machine's other work as well. */
static void warn_of_noise(const struct bench_context *x, const struct bench_record *r) {
    double foreign = spread_of(r, foreign_at).mean;
    char name[96];
    test_name(&r->test, name);
    if (foreign > x->noise)
        log_line(LOG_WARN, "%s: other processes took %.0f %% of the CPU time, also in the quietest of %u rounds", name,
                 100 * foreign, r->n_taken);
}

static void put_form(struct buf *out, const char *before, enum fields_form form, const struct bench_context *x,
                     const struct bench_record *r, const char *behind) {
    struct fields f = {.out = out, .form = form};
    buf_z(out, before);
    put_record(&f, x, r);
    buf_z(out, behind);
}

void bench_print(const struct bench_context *x, const struct bench_record *r, bool first) {
    struct buf out = {0};
    struct fields f = {.out = &out};
    if (x->form[0] == 'j') {
        bool lines = strcmp(x->form, "jsonl") == 0;
        buf_z(&out, lines ? "{" : first ? "[\n  {" : ",\n  {");
        put_record(&f, x, r);
        buf_z(&out, lines ? "}\n" : "}");
    } else if (strcmp(x->form, "csv") == 0) {
        if (first)
            put_form(&out, "", FIELDS_KEYS, x, r, "\n");
        put_form(&out, "", FIELDS_CSV, x, r, "\n");
    } else if (strcmp(x->form, "sql") == 0) {
        if (first)
            put_form(&out, "CREATE TABLE IF NOT EXISTS llama_bench (\n  ", FIELDS_COLUMNS, x, r, "\n);\n\n");
        put_form(&out, "INSERT INTO llama_bench (", FIELDS_KEYS, x, r, ") ");
        put_form(&out, "VALUES (", FIELDS_SQL, x, r, ");\n");
    } else {
        if (first)
            buf_z(&out, "| model | size | params | isa | threads | test | t/s | of the ceiling | foreign CPU |\n"
                        "| --- | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: |\n");
        table_row(&out, x, r);
    }
    fwrite(out.p, 1, out.n, stdout);
    fflush(stdout);
    warn_of_noise(x, r);
    buf_free(&out);
}
