import t from 'tap';
import { RecordFormat } from '../../src/cmdb/record-format.js';
import { RecordSigner } from '../../src/cmdb/record-signer.js';
import { contentHash } from '../../src/config/manifest.js';
import { appWith, revisionOf } from '../../src/model/app.js';
import { loadFiles } from '../config/files.js';
import { testApp } from '../fixtures/app.js';

const signer = new RecordSigner('k'.repeat(32), 'test');
const format = new RecordFormat(signer);

const files = {
  'main.yaml': `
defaults: { env: { A: d, B: d }, idleTtl: 1m }
plans: { small: { queue: { max: 10 }, errorHeaders: { X-A: "1", X-B: "2" } } }
`,
  'apps/a.yaml': `
name: plain
domains: plain.example
runtime: process
command: [node, server.js]
---
name: rich
domains: [B.example, "*.münchen.example"]
plan: small
runtime: docker
image: shop:1
command: [run]
port: 3000
env: { B: own, Z: z }
mounts: [{ source: /srv/a, target: /a }, { source: /srv/b, target: /b, readOnly: true, shared: true }]
cwd: /app
user: "1:1"
readOnly: true
publish: true
limits: { memory: 128m, cpus: 0.5, cpuWeight: 50, pids: unlimited, files: 1024 }
readiness: { http: /healthz }
overlap: false
concurrency: { max: 10 }
maxBusy: 1m
websocket: { quiet: 10m }
maxRequestBody: 1k
`,
};

/** As the version before wrote and hashed these apps: nothing of it is to be written again because another version reads it. */
const before = [
  [
    'I1mIcu6cpj7LimTThM2zuIKKop_yB7NfBsfs3ULVvWc {"v":1,"app":{"name":"plain","domains":["plain.example"],"runtime":"process","command":["node","server.js"],"env":{"A":"d","B":"d"},"mounts":[],"readOnly":false,"publish":false,"limits":{"memoryBytes":536870912,"cpuWeight":100,"pids":256,"files":4096},"readiness":{"tcp":true},"overlap":true,"scale":{"min":0,"max":1},"concurrency":{"target":50,"max":100,"clientShare":0.75},"queue":{"max":1000,"timeoutMs":45000},"idleTtlMs":60000,"maxLifetimeMs":86400000,"bootTimeoutMs":30000,"drainTimeoutMs":30000,"stopTimeoutMs":10000,"requestTimeoutMs":300000,"maxRequestBodyBytes":10737418240,"maxBusyMs":300000},"removed":false}',
    'sdOrwIB-jrEhPeDA2Kf0Wq',
    'e84006726b47',
  ],
  [
    'qZNg5PetYM1m594LxspPcoBM83SUowIfU4scYiWcxiY {"v":1,"app":{"name":"rich","domains":["b.example","*.xn--mnchen-3ya.example"],"runtime":"docker","command":["run"],"image":"shop:1","port":3000,"env":{"A":"d","B":"own","Z":"z"},"mounts":[{"source":"/srv/a","target":"/a","readOnly":false},{"source":"/srv/b","target":"/b","readOnly":true,"shared":true}],"cwd":"/app","user":"1:1","readOnly":true,"publish":true,"limits":{"memoryBytes":134217728,"cpus":0.5,"cpuWeight":50,"files":1024},"readiness":{"http":"/healthz"},"overlap":false,"scale":{"min":0,"max":1},"concurrency":{"target":10,"max":10,"clientShare":0.75},"queue":{"max":10,"timeoutMs":45000},"idleTtlMs":60000,"maxLifetimeMs":86400000,"bootTimeoutMs":30000,"drainTimeoutMs":30000,"stopTimeoutMs":10000,"requestTimeoutMs":300000,"maxRequestBodyBytes":1024,"maxBusyMs":60000,"websocket":{"quietMs":600000},"errorHeaders":{"X-A":"1","X-B":"2"}},"removed":false}',
    'HKlprjoQUta7_ZHeH8fARf',
    '76e95a754f1e',
  ],
] as const;

t.test(
  'an app is recorded as earlier versions did, byte by byte, and is the same app when it is read again',
  async (t) => {
    const { apps } = await loadFiles(files);
    t.equal(apps.length, before.length);
    apps.forEach((app, index) => {
      const [record, hash, revision] = before[index]!;
      t.equal(format.encodeApp({ app, removed: false }), record);
      t.equal(contentHash(app), hash);
      t.equal(revisionOf(app), revision);
      t.equal(format.holdsApp(record, app), 'without origin');
      const { app: read } = format.decodeApp(app.name, record!);
      t.strictSame(read, app);
      t.equal(JSON.stringify(read), JSON.stringify(app), 'in the same order');
    });
  },
);

t.test(
  'a record that lacks a key with a default has the default; one that lacks what an app must say is not read',
  async (t) => {
    const whole = JSON.parse(signer.textOf(format.encodeApp({ app: testApp(), removed: false }))) as { app: object };
    const without = (key: string) => {
      const app = Object.fromEntries(Object.entries(whole.app).filter(([name]) => name !== key));
      return signer.sign('app', 'shop', JSON.stringify({ ...whole, app }));
    };
    const { name, domains, runtime } = testApp();
    for (const key of Object.keys(whole.app)) {
      if (['name', 'domains', 'runtime'].includes(key)) {
        t.throws(() => format.decodeApp('shop', without(key)), { message: new RegExp(key) });
        continue;
      }
      const { app } = format.decodeApp('shop', without(key));
      const builtIn = appWith({ name, domains, runtime });
      t.strictSame(
        Object.entries(app).find(([other]) => other === key),
        Object.entries(builtIn).find(([other]) => other === key),
        key,
      );
    }
  },
);
