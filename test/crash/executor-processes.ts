import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobResultRequest } from '@fumehood/protocol';
import { FakeInstance } from '../../packages/executor/src/testing/fake-instance.ts';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { testJob } from '../../packages/executor/src/testing/test-job.ts';
import { prepareRuntime } from '../../packages/fumehood/src/runtime/runtime.ts';
import { openState } from '../../packages/fumehood/src/state/state.ts';
import { executorHelperSettings, writeSettings } from '../../packages/fumehood/src/up/settings.ts';
import { qemuPath } from '../../packages/fumehood/src/up/vmm.ts';
import { processes, read } from '../audit.ts';
import type { Random } from '../random.ts';
import { Stack } from '../stack.ts';

const isRoot = process.getuid?.() === 0;
/** Users of this test alone, so that every process of them is one of its executor's. */
const firstUid = 1_900_300_000;
const identities = {
  agent: { uid: firstUid, gid: firstUid },
  egress: { uid: firstUid + 2, gid: firstUid + 2 },
  spawnUid: firstUid + 1,
  firstVmUid: firstUid + 100,
};
/** The sizes of the jobs' memory, MiB: each has a template of its own. */
const shapes = [192, 256];

/** The real processes of an executor (helper, agent, VMs), with an instance in memory. */
export class ExecutorProcesses {
  readonly instance: FakeInstance;
  private readonly stack: Stack;
  private readonly program: readonly [string, ...string[]];
  private readonly image: string;
  private helper: ChildProcess | null = null;
  private lastId = 0;

  private constructor(
    instance: FakeInstance,
    stack: Stack,
    program: readonly [string, ...string[]],
    image: string,
  ) {
    this.instance = instance;
    this.stack = stack;
    this.program = program;
    this.image = image;
  }

  static async make(): Promise<ExecutorProcesses> {
    const stack = await Stack.make();
    const state = openState({ FUMEHOOD_STATE: stack.state }, 0);
    const runtime = await prepareRuntime(state, () => {});
    const instance = new FakeInstance();
    await instance.start();
    const { file, digest } = await busyboxImage(state.root, 'plain');
    instance.blobs.set(digest, readFileSync(file));
    const settings = await executorHelperSettings(state, runtime, {
      ...{ version: '0', root: isRoot, instanceUrl: instance.url, tiers: ['vm-emulated'], labels: [] },
      guest: await testGuest(state.guest),
      vmm: 'qemu',
      vmms: { emulated: { name: 'qemu', binary: qemuPath } },
    });
    mkdirSync(state.run, { recursive: true, mode: 0o755 });
    writeFileSync(settings.credentialFile, instance.credential, { mode: 0o600 });
    if (isRoot) chownSync(settings.credentialFile, identities.agent.uid, identities.agent.gid);
    const config = join(state.run, 'executor-helper.json');
    const changes = {
      identities: isRoot ? identities : null,
      resources: { cpus: 3, memoryMiB: 2048, scratchMiB: 2048 },
      templatesMiB: 512,
      route: { plainHttp: true },
    };
    await writeSettings(config, { ...settings, ...changes }, 0o644);
    const program = [runtime.node, runtime.executorHelper, config] as const;
    return new ExecutorProcesses(instance, stack, program, `blob:${digest}`);
  }

  /** The directory that has everything of it. */
  get root(): string {
    return this.stack.state;
  }

  get helperPid(): number {
    const { pid, exitCode, signalCode } = this.helper ?? {};
    if (pid === undefined || exitCode !== null || signalCode !== null)
      throw new Error(`no helper runs: ${this.log()}`);
    return pid;
  }

  /** Null while an agent is being started. */
  get agentPid(): number | null {
    const text = read(this.readyFile);
    return text === '' ? null : (JSON.parse(text) as { agentPid: number }).agentPid;
  }

  private get readyFile(): string {
    return join(this.root, 'run/executor.json');
  }

  /** Starts the helper, as `fumehood up` does, also after it was killed, and waits for its agent. */
  async start(): Promise<void> {
    if (this.helper && this.helper.signalCode === null) await once(this.helper, 'exit');
    rmSync(this.readyFile, { force: true });
    const log = openSync(join(this.root, 'executor.log'), 'a');
    const [node, ...args] = this.program;
    const helper = spawn(node, args, { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    this.helper = helper;
    while (!existsSync(this.readyFile)) {
      if (helper.exitCode !== null) throw new Error(`the helper ended: ${this.log()}`);
      await sleep(20);
    }
  }

  /** Offers as many jobs as run at once, and some more. Each runs for up to a second and a half. */
  offerJobs(random: Random): void {
    while (this.instance.jobs.length < 4) this.offer(random.pick(shapes), `sleep ${random.next() * 1.5}`);
  }

  private offer(memoryMiB: number, script: string): number {
    const id = (this.lastId += 1);
    const dockerSteps = [{ image: this.image, argv: ['sh', '-c', script] }];
    const resources = { cpus: 1, memoryMiB, scratchMiB: 64 };
    this.instance.jobs.push(testJob({ id, dockerSteps }, { resources }));
    return id;
  }

  /** Runs one job of each shape to its end, so that there is a template of each. Resolves with what they left on the host. */
  async runEachShape(): Promise<JobResultRequest['leftOver'][]> {
    const left = [];
    for (const memoryMiB of shapes) {
      this.instance.result = null;
      const marks = this.instance.marks.length;
      this.offer(memoryMiB, 'echo done');
      await this.until(() => this.instance.marks.length > marks, 'a job ends');
      const mark = this.instance.marks.at(-1);
      if (mark?.operation !== 'markComplete') throw new Error(`${JSON.stringify(mark)}\n${this.log()}`);
      left.push((this.instance.result as JobResultRequest | null)?.leftOver);
    }
    return left;
  }

  /** Offers no more jobs, and waits until those that run have ended. */
  async untilIdle(): Promise<void> {
    this.instance.jobs.length = 0;
    await this.until(() => this.agentPid !== null && this.stack.jobFiles().length === 0, 'all jobs end');
    // An agent that was killed never reported the ends of its jobs.
    this.instance.leased.clear();
  }

  private async until(isTrue: () => boolean, what: string): Promise<void> {
    for (const end = Date.now() + 60_000; !isTrue(); await sleep(20))
      if (Date.now() > end) throw new Error(`not within a minute: ${what}; ${this.log()}`);
  }

  /** Stops the helper as `fumehood down` does. */
  async stop(): Promise<void> {
    const { helper } = this;
    this.helper = null;
    if (!helper || helper.exitCode !== null || helper.signalCode !== null) return;
    helper.kill('SIGTERM');
    await once(helper, 'exit');
  }

  /** Returns the processes of its users. */
  processes(): string[] {
    return processes()
      .filter(({ pid }) => {
        const uid = Number(/^Uid:\t(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
        return uid >= firstUid && uid < firstUid + 1_000;
      })
      .map(({ pid, command }) => `${pid} ${command.replaceAll('\0', ' ')}`);
  }

  /** Returns the files of jobs and VMs, and what is unfinished in the cache. */
  files(): string[] {
    return this.stack.jobFiles();
  }

  /** Returns the end of its log, for the message of a test that failed. */
  log(): string {
    return read(join(this.root, 'executor.log')).split('\n').slice(-20).join('\n');
  }

  async remove(): Promise<void> {
    await this.stop();
    await this.instance.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}
