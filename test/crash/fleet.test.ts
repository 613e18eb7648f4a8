import { chmodSync, cpSync, createReadStream, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Attempt, JobRecord } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { type Foreground, startCommand } from '../foreground.ts';
import { makeAuthority } from '../integration/certificates.ts';
import { long } from '../long.ts';
import { Stack } from '../stack.ts';
import {
  canConnect,
  FleetNetwork,
  instanceHost,
  instancePort,
  listen,
  type MachineNetwork,
} from './fleet-network.ts';
import { eventsOf, expectNoJobFiles, shellJob, textOf } from './jobs.ts';

const jobs = long ? 200 : 18;
const names = ['killed', 'cut', 'drained'] as const;
type Name = (typeof names)[number];

/** The machine of an executor. */
interface Machine {
  readonly name: Name;
  readonly stack: Stack;
  readonly network: MachineNetwork;
  /** Its executor. Another one takes its place when that is killed. */
  process: Foreground;
}

let networks: FleetNetwork;
let instance: Stack;
let machines: readonly Machine[];
/** What the end of the tests stops and removes. */
const processes: Foreground[] = [];
const stacks: Stack[] = [];
let image: string;

beforeAll(async () => {
  networks = await FleetNetwork.make(names.length);
  instance = await Stack.make({ fresh: true });
  stacks.push(instance);
  const authority = makeAuthority(instance.state, 'fleet');
  const { certificateFile, keyFile } = authority.issue('instance', [instanceHost]);
  for (const file of [authority.caFile, certificateFile, keyFile]) chmodSync(file, 0o644); // other users read them
  const address = `${instanceHost}:${instancePort}`;
  const options = ['--listen', address, '--url', `https://${address}`];
  const tls = ['--tls-cert', certificateFile, '--tls-key', keyFile];
  const enter = (...argv: string[]) => networks.instance.enter(...argv);
  const served = start(instance, ['instance', 'start', ...options, ...tls], { enter });
  const preparing = prepareMachines();
  await until(async () => (await instance.client().jobs()).jobs.length === 0, served.log);
  const { file, digest } = await busyboxImage(instance.state, 'plain');
  await instance.client().putBlob(digest, createReadStream(file), statSync(file).size);
  image = digest;
  const joining = (await preparing).map((stack, n) =>
    join(names[n] as Name, stack, networks.machines[n] as MachineNetwork, authority.caFile),
  );
  machines = await Promise.all(joining);
});
afterAll(async () => {
  for (const process of processes.toReversed()) await process.stop();
  for (const stack of stacks) await stack.stop();
  networks.end();
});

/** Makes the state of each machine. They are one machine, so what a canary has found for the first one holds for the others. */
async function prepareMachines(): Promise<Stack[]> {
  const made: Stack[] = [];
  for (const _name of names) made.push(await Stack.make());
  stacks.push(...made);
  const [first, ...others] = made as [Stack, ...Stack[]];
  await first.fumehood(['doctor']);
  for (const { state } of others)
    for (const name of ['probe.json', 'runtime'])
      cpSync(`${first.state}/${name}`, `${state}/${name}`, { recursive: true });
  return made;
}

/** Waits until `isSo` resolves with true. A rejection counts as false, because a process may still start. */
async function until(isSo: () => Promise<boolean>, log: () => string): Promise<void> {
  const giveUpAt = Date.now() + 60_000;
  while (!(await isSo().catch(() => false))) {
    if (Date.now() > giveUpAt) throw new Error(log());
    await sleep(100);
  }
}

/** Makes a machine an executor with a join token, as `fumehood executors add` prints it. */
async function join(name: Name, stack: Stack, network: MachineNetwork, caFile: string): Promise<Machine> {
  const added = await instance.fumehood(['executors', 'add', name, '--queue', 'runs']);
  const args = added.stdout.trim().split(' ').slice(1);
  const process = start(stack, [...args, '--ca-file', caFile, '--foreground'], {
    enter: network.enter,
  });
  const connected = async () =>
    (await instance.client().status()).executors.some((executor) => executor.name === name);
  await until(connected, process.log);
  return { name, stack, network, process };
}

/** Starts a command that the end of the tests stops. */
function start(...args: Parameters<typeof startCommand>): Foreground {
  const started = startCommand(...args);
  processes.push(started);
  return started;
}

/** Starts a job that prints its number, and lasts from half a second to a second. */
async function startJob(n: number): Promise<number> {
  const script = `sleep ${0.5 + (n % 6) / 10}; echo job ${n}`;
  return (await instance.client().createJob(shellJob(image, script))).id;
}

const allJobs = async (): Promise<JobRecord[]> => (await instance.client().jobs({ limit: 200 })).jobs;
const logs = () => machines.map(({ name, process }) => `${name}:\n${process.log()}`).join('\n');
/** Waits until an executor has a job in this state. */
const untilJob = (name: Name, state: JobRecord['state']) =>
  until(async () => (await allJobs()).some((job) => job.executor === name && job.state === state), logs);

test('each machine of the fleet reaches the HTTPS port of the instance alone, and nothing reaches a machine', async () => {
  const port = instancePort + 1;
  const all = [networks.instance, ...machines.map(({ network }) => network)];
  const listeners = all.map((network) => listen(network, port));
  try {
    await Promise.all(listeners.map(({ ready }) => ready));
    for (const { network } of machines) {
      expect(canConnect(network, instanceHost, instancePort)).toBe(true);
      expect(canConnect(network, network.address, port), 'itself').toBe(true);
      expect(canConnect(network, instanceHost, port), 'another port of the instance').toBe(false);
      expect(canConnect(networks.instance, network.address, port), 'from the instance').toBe(false);
      for (const other of machines.filter((one) => one.network !== network))
        expect(canConnect(network, other.network.address, port), 'another machine').toBe(false);
    }
  } finally {
    for (const { end } of listeners) end();
  }
});

test(`${jobs} jobs end right, each once, while one of three executors is killed, one is cut off and one is drained`, {
  timeout: long ? 900_000 : 120_000,
}, async () => {
  const [killed, cut] = machines as [Machine, Machine];
  const ids = await Promise.all(Array.from({ length: jobs }, (_, n) => startJob(n)));
  await Promise.all(names.map((name) => untilJob(name, 'completed')));

  await untilJob('killed', 'processing');
  killed.process.child.kill('SIGKILL');
  await untilJob('cut', 'processing');
  cut.network.cut();
  await untilJob('drained', 'processing');
  await instance.client().setDraining('drained', true);
  const drainedAt = Date.now();
  killed.process = start(killed.stack, ['executor', 'start'], { enter: killed.network.enter });
  await until(
    async () =>
      !(await allJobs()).some(({ executor, state }) => executor === 'cut' && state === 'processing'),
    logs,
  );
  cut.network.heal();

  const attempts: Attempt[] = [];
  for (const [n, id] of ids.entries()) {
    const events = await eventsOf(instance, id);
    const ofJob = await instance.client().attempts(id);
    attempts.push(...ofJob);
    const [last, ...before] = ofJob.toReversed();
    expect(last, logs()).toMatchObject({ outcome: 'completed', exitCode: 0 });
    expect(before.map(({ outcome }) => outcome).every((outcome) => outcome === 'lost')).toBe(true);
    expect(textOf(events, ofJob.length)).toBe(`job ${n}\n`);
  }
  const of = (name: Name, outcome: string) =>
    attempts.filter((one) => one.executor === name && one.outcome === outcome);
  const counts = names.map((name) => [name, of(name, 'completed').length, of(name, 'lost').length]);
  console.log(JSON.stringify(counts)); // how many of its attempts each executor completed, and lost
  for (const name of names) expect(of(name, 'completed').length, name).toBeGreaterThan(0);
  expect(of('killed', 'lost').length).toBeGreaterThan(0);
  expect(of('cut', 'lost').length).toBeGreaterThan(0);
  expect(of('drained', 'lost')).toEqual([]);
  expect(
    attempts.filter(({ executor, startedAt }) => executor === 'drained' && Date.parse(startedAt) > drainedAt),
  ).toEqual([]);
  for (const { stack } of machines) await expectNoJobFiles(stack);
});
