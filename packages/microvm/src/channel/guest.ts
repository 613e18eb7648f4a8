import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { Clock } from '@fumehood/base';
import { guestCommandFailed, guestNotReady, guestProtocol } from '../errors.ts';
import type { VmSockets } from '../vm.ts';
import { type CollectRequest, collectFile } from './collect.ts';
import { encodeMessage, messageReader } from './frame.ts';
import { type GuestMessage, parseGuestMessage } from './messages.ts';
import { countingReader, feedStdin } from './streams.ts';

export interface GuestFacts {
  /** Release of the kernel that the guest says it runs. */
  readonly kernel: string;
  readonly interfaces: string[];
  /** How far its clock may be off, ms. */
  readonly clockErrorMs: number;
}

export interface GuestStep {
  readonly id: string;
  /** Where its root file system is assembled in the guest. */
  readonly root: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** Docker's USER. */
  readonly user: string;
  readonly cwd: string;
  readonly hostname: string;
  readonly binds: readonly { readonly source: string; readonly target: string; readonly mode: 'ro' | 'rw' }[];
  readonly memoryBytes: number;
  readonly pids: number;
  /** 0: none of its own. */
  readonly deadlineMs: number;
}

export interface StepExit {
  /** Exit code, or -1 when a signal ended it. */
  readonly code: number;
  readonly signal: number;
  readonly reason: 'exit' | 'signal' | 'deadline' | 'memory' | 'start';
  /** For `start`: what failed. */
  readonly message: string;
}

/** Takes a chunk of a step's output; the guest waits until it resolves. */
export type OutputSink = (chunk: Buffer) => void | Promise<void>;

export interface StepStreams {
  readonly stdin: Readable | null;
  readonly stdout: OutputSink;
  readonly stderr: OutputSink;
}

interface Ownership {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** The host's end of a guest's channel. Commands that start nothing are sent without waiting; a refusal shows in `broken`. */
export interface Guest {
  /** Resolves when init serves. Errors: `guest_not_ready`. */
  ready(timeoutMs: number): Promise<void>;
  /** Makes the guest unique and its clock right, then accepts it (design invariant 12). Errors: `guest_not_ready`. */
  knock(): Promise<GuestFacts>;
  mkdir(path: string, options?: Ownership): void;
  mount(mount: {
    readonly type: string;
    readonly source: string;
    readonly target: string;
    readonly flags?: readonly ('ro' | 'nosuid' | 'nodev' | 'noexec' | 'bind')[];
    readonly data?: string;
  }): void;
  /** `content` is at most 60,000 bytes. */
  file(path: string, content: Uint8Array | string, options?: Ownership): void;
  /** Runs a step to its end and until every byte of its output was taken. */
  step(step: GuestStep, streams: StepStreams): Promise<StepExit>;
  /** A file as a stream that fails with `artifact_…` when it is not to be had. */
  collect(request: CollectRequest): Readable;
  /** Round trip, ms. */
  ping(): Promise<number>;
  /** Rejects as soon as the guest breaks the protocol, a command fails, or the control stream ends. */
  readonly broken: Promise<never>;
  close(): void;
}

const knockTries = 5;
const clockBoundMs = 100;

/** Speaks with the guest behind these sockets. */
export function connectGuest(sockets: VmSockets, clock: Clock): Guest {
  const waiting = new Map<string, (message: GuestMessage) => void>();
  const { promise: broken, reject: breakOff } = Promise.withResolvers<never>();
  broken.catch(() => {}); // whoever waits on it sees it; nobody else has to
  const outputs = { stdout: countingReader(sockets.stdout), stderr: countingReader(sockets.stderr) };
  const bulk = countingReader(sockets.bulk);
  let pings = 0;
  let isReady = false;

  const send = (verb: string, fields: readonly (string | number | Uint8Array)[]) => {
    sockets.control.write(encodeMessage(verb, fields));
  };
  /** The next message under this key; one waiter a key. */
  const next = <V extends GuestMessage['verb']>(key: V, about = '') => {
    const answer = Promise.race([
      new Promise<Extract<GuestMessage, { verb: V }>>((resolve) => {
        waiting.set(`${key} ${about}`, (message) => resolve(message as Extract<GuestMessage, { verb: V }>));
      }),
      broken,
    ]);
    answer.catch(() => {}); // a guest may break off before anybody has come to wait for this
    return answer;
  };

  const take = (message: GuestMessage) => {
    if (message.verb === 'failed') throw guestCommandFailed(...message.fields);
    if (message.verb === 'ready') {
      if (isReady) throw guestProtocol('a second ready');
      isReady = true;
    }
    const about = message.verb === 'ready' ? '' : String(message.fields[0]);
    if (message.verb === 'exited' && waiting.has(`started ${about}`))
      throw guestProtocol('exited before started');
    const waiter = waiting.get(`${message.verb} ${about}`);
    if (waiter) {
      waiting.delete(`${message.verb} ${about}`);
      waiter(message);
    } else if (message.verb !== 'ready') throw guestProtocol(`an unexpected ${message.verb}`);
  };

  const read = messageReader();
  sockets.control.on('data', (chunk: Buffer) => {
    try {
      for (const message of read(chunk)) take(parseGuestMessage(message));
    } catch (error) {
      sockets.control.removeAllListeners('data');
      breakOff(error);
    }
  });
  for (const socket of Object.values(sockets)) socket.on('error', () => {}); // the end below says it
  sockets.control.on('close', () => breakOff(guestNotReady('its control stream ended')));

  const exchangeKnock = async (): Promise<GuestFacts> => {
    const nonce = randomBytes(16).toString('hex');
    const sent = clock.now();
    const answer = next('knocked', nonce);
    send('knock', [nonce, sent, randomBytes(64)]);
    const [, guestTime, kernel, interfaces] = (await answer).fields;
    // The guest set its clock to `sent` somewhere between our sending and its answer.
    const clockErrorMs = Math.abs(clock.now() - guestTime);
    return { kernel, clockErrorMs, interfaces: interfaces.split(',').filter(Boolean) };
  };

  return {
    broken,
    async ready(timeoutMs) {
      if (isReady) return;
      const timer = AbortSignal.timeout(timeoutMs);
      const late = new Promise<never>((_resolve, reject) => {
        timer.addEventListener('abort', () =>
          reject(guestNotReady(`no word from it within ${timeoutMs} ms`)),
        );
      });
      await Promise.race([next('ready'), late]);
    },
    async knock() {
      for (let tries = 1; ; tries++) {
        const facts = await exchangeKnock();
        if (facts.clockErrorMs <= clockBoundMs) {
          send('accept', []);
          return facts;
        }
        if (tries === knockTries)
          throw guestNotReady(`its clock is off by ${facts.clockErrorMs} ms after ${tries} tries`);
      }
    },
    mkdir: (path, { mode = 0o755, uid = 0, gid = 0 } = {}) =>
      send('mkdir', [path, mode.toString(8), uid, gid]),
    mount: ({ type, source, target, flags = [], data = '' }) =>
      send('mount', [type, source, target, flags.join(','), data]),
    file: (path, content, { mode = 0o644, uid = 0, gid = 0 } = {}) =>
      send('file', [
        path,
        mode.toString(8),
        uid,
        gid,
        typeof content === 'string' ? Buffer.from(content) : content,
      ]),
    async step(step, streams) {
      const exited = next('exited', step.id);
      const started = next('started', step.id);
      const taken = {
        stdout: outputs.stdout.begin(streams.stdout),
        stderr: outputs.stderr.begin(streams.stderr),
      };
      send('step', stepFields(step));
      await started;
      const stdin = feedStdin(sockets.stdin, streams.stdin, (total) => send('stdin-end', [step.id, total]));
      const { stdout, stderr } = taken;
      try {
        await Promise.race([exited, stdin.failed, stdout.failed, stderr.failed]);
      } catch (error) {
        void stdin.stop(); // a guest that reads nothing would be waited for
        throw error;
      }
      await stdin.stop();
      const [, code, signal, stdoutBytes, stderrBytes, reason, message] = (await exited).fields;
      await Promise.race([Promise.all([stdout.until(stdoutBytes), stderr.until(stderrBytes)]), broken]);
      return { code, signal, reason, message };
    },
    collect: (request) =>
      collectFile(request, bulk, async (fields) => {
        const collected = next('collected', request.id);
        send('collect', fields);
        return (await collected).fields;
      }),
    async ping() {
      const sent = performance.now();
      const answer = next('pong', String(++pings));
      send('ping', [pings]);
      await answer;
      return performance.now() - sent;
    },
    close() {
      for (const socket of Object.values(sockets)) socket.destroy();
    },
  };
}

function stepFields(step: GuestStep): (string | number)[] {
  const pairs: [string, string | number][] = [
    ['root', step.root],
    ['user', step.user],
    ['cwd', step.cwd],
    ['hostname', step.hostname],
    ['memory', step.memoryBytes],
    ['pids', step.pids],
    ['deadline', step.deadlineMs],
    ...step.argv.map((arg): [string, string] => ['arg', arg]),
    ...step.env.map((variable): [string, string] => ['env', variable]),
    ...step.binds.map(({ source, target, mode }): [string, string] => [
      'bind',
      `${source}\0${target}\0${mode}`,
    ]),
  ];
  return [step.id, ...pairs.flat()];
}
