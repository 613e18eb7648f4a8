import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { Clock } from '@fumehood/base';
import { guestNotReady } from '../errors.ts';
import type { GuestSockets } from '../vm/spec.ts';
import { type CollectRequest, collectFile } from './collect.ts';
import { type Control, openControl } from './control.ts';
import { clockErrorMaxMs, knockTriesMax } from './limits.ts';
import { outputReader } from './output.ts';
import { type GuestStep, runStep, type StepExit, type StepStreams, type TerminalSize } from './step.ts';

/** What a guest says about itself in answer to a knock. */
export interface GuestFacts {
  /** Release of the kernel. */
  readonly kernel: string;
  /** Names of the network interfaces. */
  readonly interfaces: string[];
  /** The id that the kernel made for this boot, from random numbers of this VM alone. */
  readonly bootId: string;
  /** By how much the guest's clock may be off, ms. */
  readonly clockErrorMs: number;
}

/**
 * The host's end of a guest's channel. Commands that start nothing (`mkdir`, `mount`, `file`) are sent without waiting; when one
 * fails, `broken` rejects.
 */
export interface Guest {
  /** Resolves when init serves. Errors: `guest_not_ready`. */
  ready(timeoutMs: number): Promise<void>;
  /**
   * Reseeds the guest's random number generator, sets its clock, and accepts it; init starts no step before that
   * (docs/invariants.md, 12). Errors: `guest_not_ready` when the clock stays wrong.
   */
  knock(): Promise<GuestFacts>;
  /** Makes a directory, by default 0755 of root, and its parents. */
  mkdir(path: string, facts?: { readonly mode?: number; readonly uid?: number; readonly gid?: number }): void;
  mount(mount: {
    readonly type: string;
    readonly source: string;
    readonly target: string;
    readonly flags?: readonly ('ro' | 'nodev')[];
    readonly data?: string;
  }): void;
  /** Writes a file, by default 0644 of root. It travels in one frame. */
  file(path: string, content: string | Uint8Array, mode?: number): void;
  /** Runs a step until it has ended and the sinks have taken every byte of its output. */
  step(step: GuestStep, streams: StepStreams): Promise<StepExit>;
  /** Asks a step to end by its stop signal; init kills it after its grace period. Does nothing if the step has ended. */
  stopStep(id: string): void;
  /** Sets the size of a step's terminal. Does nothing if the step has none, or has ended. */
  resizeStep(id: string, size: TerminalSize): void;
  /** Returns a file of the guest as a stream. Errors of the stream: `artifact_…`. */
  collect(request: CollectRequest): Readable;
  /** Returns the time of a round trip, ms. Init answers after it has run every earlier command. */
  ping(): Promise<number>;
  /** Rejects as soon as the guest breaks the protocol, a command fails, or the control stream ends. */
  readonly broken: Promise<never>;
  close(): void;
}

/** Connects to the guest behind these sockets. */
export function connectGuest(sockets: GuestSockets, clock: Clock): Guest {
  const control = openControl(sockets.control);
  const { broken, send } = control;
  const channel = {
    control,
    stdin: sockets.stdin,
    stdout: outputReader(sockets.stdout),
    stderr: outputReader(sockets.stderr),
  };
  const bulk = outputReader(sockets.bulk);
  let pings = 0;
  for (const socket of Object.values(sockets)) socket.on('error', () => {}); // the end of the control stream reports it

  return {
    broken,
    async ready(timeoutMs) {
      if (control.isReady()) return;
      const timer = AbortSignal.timeout(timeoutMs);
      const late = new Promise<never>((_resolve, reject) => {
        timer.addEventListener('abort', () =>
          reject(guestNotReady(`init did not answer within ${timeoutMs} ms`)),
        );
      });
      await Promise.race([control.next('ready'), late]);
    },
    async knock() {
      for (let tries = 1; ; tries++) {
        const facts = await exchangeKnock(control, clock);
        if (facts.clockErrorMs <= clockErrorMaxMs) {
          send('accept', []);
          return facts;
        }
        if (tries === knockTriesMax)
          throw guestNotReady(`its clock is off by ${facts.clockErrorMs} ms after ${tries} tries`);
      }
    },
    mkdir: (path, { mode = 0o755, uid = 0, gid = 0 } = {}) =>
      send('mkdir', [path, mode.toString(8), uid, gid]),
    mount: ({ type, source, target, flags = [], data = '' }) =>
      send('mount', [type, source, target, flags.join(','), data]),
    file: (path, content, mode = 0o644) => send('file', [path, content, mode.toString(8)]),
    step: (step, streams) => runStep(channel, step, streams),
    stopStep: (id) => send('stop', [id]),
    resizeStep: (id, { rows, columns }) => send('resize', [id, rows, columns]),
    collect: (request) => collectFile(request, bulk, control),
    async ping() {
      const sent = performance.now();
      const number = ++pings;
      const answer = control.next('pong', String(number));
      send('ping', [number]);
      await answer;
      return performance.now() - sent;
    },
    close() {
      for (const socket of Object.values(sockets)) socket.destroy();
    },
  };
}

async function exchangeKnock(control: Control, clock: Clock): Promise<GuestFacts> {
  const nonce = randomBytes(16).toString('hex');
  const sent = clock.now();
  const answer = control.next('knocked', nonce);
  control.send('knock', [nonce, sent, randomBytes(64)]);
  const [, guestTime, kernel, interfaces, bootId] = (await answer).fields;
  // The guest set its clock to `sent` at some moment between the sending and the answer.
  const clockErrorMs = Math.abs(clock.now() - guestTime);
  return { kernel, clockErrorMs, bootId, interfaces: interfaces.split(',').filter(Boolean) };
}
