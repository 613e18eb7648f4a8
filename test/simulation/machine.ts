import { type Job, ordersVersion, protocolHeader, protocolVersion, type QueueName } from '@fumehood/protocol';
import { type Agent, makeAgent } from '../../packages/executor/src/agent/agent.ts';
import { healthy } from '../../packages/executor/src/agent/health.ts';
import { openReservations, smallest } from '../../packages/executor/src/agent/reservations.ts';
import { instanceUnreachable } from '../../packages/executor/src/errors.ts';
import type { Http } from '../../packages/executor/src/uplink/http.ts';
import { keepLeases, type Leases, marginMs } from '../../packages/executor/src/uplink/leases.ts';
import { openQueue } from '../../packages/executor/src/uplink/queue.ts';
import { vmmMemoryMiB } from '../../packages/microvm/src/index.ts';
import { MachineClock, processClock } from './clocks.ts';
import type { Guard } from './guards.ts';
import type { Network, Reply, WireRequest } from './network.ts';
import { Process } from './process.ts';
import { credential } from './replica.ts';
import { simulatedRuntime } from './runtime.ts';
import { leaseMs } from './store.ts';
import { type Program, Vm } from './vm.ts';
import type { World } from './world.ts';

const restartMs = 1_000;
const resources = { cpus: 2, memoryMiB: 2 * (smallest.memoryMiB + vmmMemoryMiB), scratchMiB: 256 };

interface MachineDeps {
  readonly world: World;
  readonly network: Network;
  readonly removed: Guard | null;
  readonly program: (job: Job) => Program;
  readonly booted: (vm: Vm) => void;
  readonly answered: (request: WireRequest, reply: Reply) => void;
}

/** A machine with an executor: the real agent, on this machine's clock, with the simulated network and VMs. */
export class Machine {
  readonly name: string;
  readonly clock: MachineClock;
  private readonly deps: MachineDeps;
  private process: Process;
  private agent: Agent | null = null;
  /** One function per unanswered request of the agent, which gives the request up. */
  private readonly connections = new Set<() => void>();

  constructor(name: string, deps: MachineDeps) {
    this.name = name;
    this.deps = deps;
    const { world, removed } = deps;
    this.clock = new MachineClock(world, removed === 'clock rate' ? 0.4 : 0.05);
    this.process = new Process(world);
    this.start();
  }

  /** Starts the agent if none runs. */
  start(): void {
    if (this.agent) return;
    const process = new Process(this.deps.world);
    const clock = processClock(this.deps.world, this.clock, process);
    const http = this.http(process);
    const identity = {
      ...{ name: this.name, version: '1' },
      credential: { secret: credential, renew: async () => false },
      ...{
        tiers: ['vm-emulated' as const],
        arch: 'x64' as const,
        labels: [],
        network: false,
        machine: 'here',
      },
    };
    // The simulated instance has no push stream.
    const queue = { ...openQueue(http, identity), version: () => ordersVersion - 1 };
    const queues: QueueName[] = ['codeintel', 'runs'];
    const note = (message: string) => this.deps.world.note(`${this.name}: ${message}`);
    const leases = this.leases(keepLeases({ queue, queues, clock, onTrouble: note }), () => clock.bootTime());
    const runtime = simulatedRuntime({
      clock,
      startVm: async (job) => {
        await clock.sleep(this.deps.world.random.between(20, 400));
        return this.vm(job, process);
      },
      thinkMs: () => this.deps.world.random.between(0, 800),
      renew: (vm, deadline) => vm.renew(this.deadline(deadline, clock.bootTime())),
    });
    const log = {
      info: (facts: object, message: string) => note(`${message} ${JSON.stringify(facts)}`),
      warn: (facts: object, message: string) => note(`${message} ${JSON.stringify(facts)}`),
    };
    const from = { clock, executorName: this.name, reservations: openReservations(resources) };
    const agent = makeAgent({
      runtime,
      ...from,
      http,
      leases,
      log,
      queue,
      queues,
      defaultResources: resources,
      health: { current: healthy },
    });
    this.process = process;
    this.agent = agent;
    // The executor's helper starts another agent when this one has ended.
    void agent.run().then(() => {
      note('has ended');
      this.agent = null;
      this.deps.world.after(restartMs, () => this.start());
    });
    note('starts');
  }

  /** Kills the agent by SIGKILL; the launchers of its VMs stay. */
  kill(): void {
    this.process.kill();
    this.agent = null;
    for (const close of this.connections) close();
    this.connections.clear();
  }

  /** Stops the agent by SIGSTOP. */
  stop(): void {
    this.process.stop();
  }
  continue(): void {
    this.process.continue();
  }

  /** Ends the agent as an admin does: it gives its jobs back, and another agent starts. */
  end(): void {
    this.process.deliver(() => this.agent?.stop());
  }

  private vm(job: Job, agent: Process): Vm {
    const { world, removed, program, booted } = this.deps;
    const of = { jobId: job.id, attempt: job.fumehood?.attempt ?? 0 };
    return new Vm(of, { world, machine: this.clock, agent }, program(job), removed, booted);
  }

  /** Returns the deadline for the launcher, changed if a guard is removed. */
  private deadline(deadline: number, now: number): number {
    if (this.deps.removed === 'executor margin') return deadline + marginMs;
    return this.deps.removed === 'deadline from sending' ? now + leaseMs - marginMs : deadline;
  }

  /** Returns the agent's leases; without the guard `heartbeat before boot`, leases that do not wait for a heartbeat. */
  private leases(real: Leases, now: () => number): Leases {
    if (this.deps.removed !== 'heartbeat before boot') return real;
    return {
      ...real,
      hold: async (job, ms) => {
        const deadline = now() + ms - marginMs;
        const holding = real.hold(job, ms);
        const [stopped, killed, lost] = [new AbortController(), new AbortController(), new AbortController()];
        const fail = (error: Error) => {
          lost.abort(error);
          killed.abort(error);
          stopped.abort(error);
        };
        holding.then((lease) => {
          lease.lost.addEventListener('abort', () => lost.abort(lease.lost.reason));
          lease.killed.addEventListener('abort', () => killed.abort(lease.killed.reason));
          lease.stopped.addEventListener('abort', () => stopped.abort(lease.stopped.reason));
          if (lease.stopped.aborted) fail(lease.stopped.reason as Error);
        }, fail);
        return {
          stopped: stopped.signal,
          killed: killed.signal,
          lost: lost.signal,
          deadline: () => deadline,
          onRenewed: (listener) => void holding.then((lease) => lease.onRenewed(listener)).catch(() => {}),
          stop(reason) {
            killed.abort(reason);
            stopped.abort(reason);
          },
          release: () => void holding.then((lease) => lease.release()).catch(() => {}),
        };
      },
    };
  }

  private http(process: Process): Http {
    const { world, network, answered } = this.deps;
    return ({ method, path, headers, body, signal, action }) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const request: WireRequest = {
          from: this.name,
          sentAt: world.time,
          method,
          path,
          headers,
          body: this.body(path, Buffer.from((body ?? '') as string | Uint8Array)),
        };
        const abort = () => {
          giveUp();
          this.connections.delete(giveUp);
          reject(signal?.reason as Error);
        };
        const giveUp = network.send(request, (reply) =>
          process.deliver(() => {
            this.connections.delete(giveUp);
            signal?.removeEventListener('abort', abort);
            if (signal?.aborted) return;
            answered(request, reply);
            if ('gone' in reply) reject(instanceUnreachable(action, reply.gone));
            else resolve(responseOf(reply));
          }),
        );
        this.connections.add(giveUp);
        signal?.addEventListener('abort', abort, { once: true });
      });
  }

  /** Returns the body to send; without the guard `attempt in heartbeat`, a heartbeat that names no attempts. */
  private body(path: string, body: Buffer): Buffer {
    if (this.deps.removed !== 'attempt in heartbeat' || !path.endsWith('/heartbeat')) return body;
    const { fumehood: _, ...rest } = JSON.parse(body.toString()) as Record<string, unknown>;
    return Buffer.from(JSON.stringify(rest));
  }
}

/** Returns an answer as the agent receives it. The simulated instance speaks our version of the native protocol. */
function responseOf({ answer, broken }: Extract<Reply, { broken: boolean }>): Response {
  const { status, body } = answer;
  const headers = { ...answer.headers, [protocolHeader]: String(protocolVersion) };
  if (status === 204) return new Response(null, { status, headers });
  const bytes = Buffer.from(body);
  if (!broken) return new Response(bytes, { status, headers });
  const half = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.subarray(0, bytes.length / 2));
    },
    pull(controller) {
      controller.error(new Error('the connection broke off'));
    },
  });
  return new Response(half, { status, headers });
}
