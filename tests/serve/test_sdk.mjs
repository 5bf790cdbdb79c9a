// OpenAI's JavaScript SDK against the server with the scripted engine, and the test model when it is there.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import assert from "node:assert/strict";

const root = join(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), "..", "..");
const build = process.env.MOAT ? dirname(process.env.MOAT) : join(root, "build");
const npm = join(root, "build", "npm", "node_modules");
if (!existsSync(join(npm, "openai"))) {
    console.log("0 passed, 0 failed, 1 skipped");
    process.exit(0);
}
const OpenAI = createRequire(join(npm, "x.js"))("openai");
const messages = [{ role: "user", content: "Name three colours." }];

function start(program, model, ...args) {
    const child = spawn(program, ["serve", model, "--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    return new Promise((resolve, reject) => {
        child.stdout.on("data", (line) => {
            const [, name, url] = /serving (.+) on (http:\S+)/.exec(line);
            resolve({ child, name, api: new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 }) });
        });
        child.on("exit", () => reject(new Error("the server did not start")));
    });
}

const tests = {
    async chat({ api, name }) {
        const r = await api.chat.completions.create({ model: name, messages, max_tokens: 6, seed: 1, logprobs: true, top_logprobs: 2 });
        assert.equal(r.object, "chat.completion");
        assert.match(r.system_fingerprint, /^moat-[0-9a-f]{16}$/);
        assert.equal(r.choices[0].logprobs.content.length, r.usage.completion_tokens);
    },
    async stream({ api, name }) {
        const fields = { model: name, messages, max_tokens: 6, seed: 1 };
        const whole = await api.chat.completions.create(fields);
        let text = "", usage = null;
        for await (const chunk of await api.chat.completions.create({ ...fields, stream: true, stream_options: { include_usage: true } })) {
            text += chunk.choices[0]?.delta.content ?? "";
            usage = chunk.usage ?? usage;
        }
        assert.equal(text, whole.choices[0].message.content);
        assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
    },
    async completion({ api, name }) {
        const r = await api.completions.create({ model: name, prompt: ["a", "b"], max_tokens: 3, n: 2 });
        assert.deepEqual(r.choices.map((c) => c.index), [0, 1, 2, 3]);
    },
    async leaving({ api, name }) {
        const stream = await api.chat.completions.create({ model: name, messages: [{ role: "user", content: "SLOW, please" }], max_tokens: 200, stream: true });
        for await (const _ of stream) break;
    },
    async errors({ api, name }) {
        await assert.rejects(api.chat.completions.create({ model: name, messages, temperature: 3 }), (e) => e.status === 400 && e.param === "temperature");
        await assert.rejects(api.chat.completions.create({ model: "other", messages }), (e) => e.status === 404 && e.code === "model_not_found");
    },
    async models({ api, name }) {
        assert.deepEqual((await api.models.list()).data.map((m) => m.id), [name]);
    },
};

const folder = mkdtempSync(join(tmpdir(), "moat-"));
writeFileSync(join(folder, "fake.gguf"), "nobody reads this");
const servers = [await start(join(build, "fake", "moat"), join(folder, "fake.gguf"))];
const model = process.env.MOAT_TEST_MODEL;
if (model && existsSync(model)) servers.push(await start(join(build, "moat"), model, "--ctx", "1024"));
let passed = 0, failed = 0;
for (const server of servers) {
    for (const [name, test] of Object.entries(tests)) {
        try {
            await test(server);
            passed++;
        } catch (why) {
            console.log(`${name} (${server.name}): FAILED`, why);
            failed++;
        }
    }
    server.child.removeAllListeners("exit");
    server.child.kill();
}
console.log(`${passed} passed, ${failed} failed, ${servers.length < 2 ? Object.keys(tests).length : 0} skipped`);
process.exit(failed ? 1 : 0);
