// One application with a queue and its workers, in one version of BullMQ. It is told what to do line by line, in JSON, and answers so.
//   node play.cjs <alias of the version> <port> <queue>
const [, , alias, port, name] = process.argv;
const { Queue, Worker } = require(alias);
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };

const queue = new Queue(name, { connection });
queue.on("error", () => {});
const workers = [];
const ran = new Map();
let running = 0, added = 0;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const now = () => Number(process.hrtime.bigint() / 1000n) / 1000;

const orders = {
  // Workers with a concurrency of their own; every job takes `ms`, and those called `bad` fail.
  async work({ many, concurrency, ms }) {
    for (let index = 0; index < many; index++) {
      const run = async (job) => {
        ran.set(job.id, (ran.get(job.id) ?? 0) + 1);
        running++;
        await sleep(ms);
        running--;
        if (job.name.startsWith("bad")) throw new Error(job.name + " went wrong");
      };
      const worker = new Worker(name, run, { connection, concurrency, drainDelay: 1 });
      worker.on("error", () => {});
      workers.push(worker);
    }
    await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  },
  async add({ many, job = "job", opts = {} }) {
    await queue.addBulk(Array.from({ length: many }, () => ({ name: job, data: { at: ++added }, opts })));
    return added;
  },
  async flow({ opts = {} }) {
    const { FlowProducer } = require(alias);
    const flows = new FlowProducer({ connection });
    await flows.add({ name: "parent", queueName: name, children: [{ name: "bad child", queueName: name, opts }, { name: "late", queueName: name, opts: { delay: 3600000 } }] });
    await flows.close();
  },
  async pause() { await queue.pause(); },
  async resume() { await queue.resume(); },
  async limit({ to }) { await queue.setGlobalConcurrency(to); },
  // Waits until so many jobs run, or until so many have run; answers how long that took.
  async until({ most, least, done, within = 20000 }) {
    const begun = now();
    const holds = () => (most === undefined || running <= most) && (least === undefined || running >= least) && (done === undefined || ran.size >= done);
    while (!holds()) {
      if (now() - begun > within) throw new Error(`${running} run, ${ran.size} have run`);
      await sleep(1);
    }
    return now() - begun;
  },
  async tell() {
    return { running, ran: ran.size, twice: [...ran.values()].filter((times) => times > 1).length, added, counts: await queue.getJobCounts("completed", "failed") };
  },
  async close() {
    await Promise.all(workers.map((worker) => worker.close()));
    await queue.close();
    setTimeout(() => process.exit(0), 10);
  },
};

const tell = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");
const follow = async (line) => {
  const { order, ...rest } = JSON.parse(line);
  try {
    tell({ answer: (await orders[order](rest)) ?? null });
  } catch (error) {
    tell({ error: String(error.message ?? error) });
  }
};
// One order after the other.
let before = queue.waitUntilReady().then(() => tell({ answer: "ready" }));
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => { before = before.then(() => follow(line)); });
lines.on("close", () => { before = before.then(() => process.exit(0)); });
