import { type Coverage, type Fault, faults } from './coverage.ts';
import type { World } from './world.ts';

/** A request on the wire. */
export interface WireRequest {
  readonly from: string;
  readonly sentAt: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** What a sender receives: an answer, whole or isCutOff off in the middle, or the loss of the connection. */
export type Reply = { readonly answer: Answer; readonly broken: boolean } | { readonly gone: string };

/** A replica as the network sees it. `answer` may be called once; null breaks the connection. */
export interface Server {
  readonly name: string;
  /** Returns a function that tells the server that its client is gone. */
  receive(request: WireRequest, answer: (answer: Answer | null) => void): () => void;
}

/** How bad the network is: probabilities and times, ms. */
export interface Weather {
  loss: number;
  duplicates: number;
  late: number;
  lateMs: number;
}

/** Time after which Node gives a silent connection up. */
const silenceMs = 300_000;

export interface Partition {
  readonly host: string;
  readonly server: string | null;
  readonly direction: 'requests' | 'answers' | 'both';
  /** Only heartbeats are isCutOff off, as by a proxy that refuses them. */
  readonly heartbeats: boolean;
}

/** Loses, doubles, delays and reorders requests and answers between executors and replicas. */
export class Network {
  weather: Weather = { loss: 0, duplicates: 0, late: 0, lateMs: 0 };
  readonly partitions = new Set<Partition>();
  private readonly world: World;
  private readonly coverage: Coverage;
  private readonly servers: readonly Server[];
  /** Returns the jobs that a request concerns. */
  private readonly about: (request: WireRequest) => Iterable<number>;
  private sent = 0;
  private readonly newest = new Map<string, number>();

  constructor(
    world: World,
    coverage: Coverage,
    servers: readonly Server[],
    about: (request: WireRequest) => Iterable<number>,
  ) {
    this.world = world;
    this.coverage = coverage;
    this.servers = servers;
    this.about = about;
  }

  /** Sends a request; `reply` is called at most once. Returns a function that gives the request up. */
  send(request: WireRequest, reply: (reply: Reply) => void): () => void {
    const { random } = this.world;
    let over = false;
    const end = (result: Reply) => {
      if (over) return;
      over = true;
      reply(result);
    };
    const lose = (fault: Fault) => {
      this.recordFault(fault, request);
      // Mostly the sender learns of the loss; otherwise it waits until the connection is silent for too long.
      const ms = random.chance(0.8) ? random.between(0, 1_000) : silenceMs;
      this.world.after(ms, () => end({ gone: fault }));
    };
    const goneAt: (() => void)[] = [];
    const carry = (first: boolean, delayMs: number) => {
      const server = random.pick(this.servers);
      const number = (this.sent += 1);
      this.world.after(delayMs, () => {
        if (this.isCutOff(request, server.name, 'requests')) {
          if (first) lose('partition');
          else this.recordFault('partition', request);
          return;
        }
        this.noteOrder(request, number);
        goneAt.push(
          server.receive(request, (answer) => {
            if (!first) return;
            if (!answer) this.world.after(random.between(0, 500), () => end({ gone: 'reset' }));
            else this.answerBack(request, server, answer, end, lose);
          }),
        );
      });
    };
    if (random.chance(this.weather.loss)) lose('request lost');
    else carry(true, this.delay(request, false));
    if (random.chance(this.weather.duplicates)) {
      this.recordFault('duplicate', request);
      carry(false, random.chance(0.5) ? random.between(0, 500) : random.between(0, 30_000));
    }
    return () => {
      over = true;
      // The notice that the sender is gone can be lost, too.
      if (!random.chance(this.weather.loss))
        this.world.after(random.between(0, 50), () => goneAt.forEach((gone) => gone()));
    };
  }

  private answerBack(
    request: WireRequest,
    server: Server,
    answer: Answer,
    end: (reply: Reply) => void,
    lose: (fault: Fault) => void,
  ): void {
    const { random } = this.world;
    if (random.chance(this.weather.loss)) {
      lose('answer lost');
      return;
    }
    const broken = random.chance(this.weather.loss / 4);
    if (broken) this.recordFault('answer lost', request);
    this.world.after(this.delay(request, true), () => {
      if (this.isCutOff(request, server.name, 'answers')) lose('partition');
      else end({ answer, broken });
    });
  }

  private delay(request: WireRequest, answer: boolean): number {
    const { random } = this.world;
    // An answer to a request that was held for long is late more often: the lease that it brings may be old.
    const held = request.path.endsWith('/dequeue');
    if (!random.chance(this.weather.late * (held ? 3 : 1))) return random.between(0.2, 20);
    this.recordFault('late', request);
    // As late as an answer can be while the renewal still counts, or while the lease still lasts.
    if (answer && request.path.endsWith('/heartbeat')) return random.between(2_000, 4_000);
    if (answer && held && random.chance(0.5)) return random.between(2_000, 10_000);
    return random.between(0, random.chance(0.7) ? 4_000 : this.weather.lateMs);
  }

  private isCutOff({ from, path }: WireRequest, server: string, direction: 'requests' | 'answers'): boolean {
    for (const partition of this.partitions)
      if (
        partition.host === from &&
        (!partition.heartbeats || path.endsWith('/heartbeat')) &&
        (partition.server ?? server) === server &&
        (partition.direction === 'both' || partition.direction === direction)
      )
        return true;
    return false;
  }

  private noteOrder(request: WireRequest, number: number): void {
    const newest = this.newest.get(request.from) ?? 0;
    if (number < newest) this.recordFault('overtaken', request);
    else this.newest.set(request.from, number);
  }

  private recordFault(fault: (typeof faults)[number], request: WireRequest): void {
    this.world.note(`${request.from}: ${fault}: ${request.path.replace('/.executors/queue/', '')}`);
    this.coverage.fault(fault, this.about(request));
  }
}
