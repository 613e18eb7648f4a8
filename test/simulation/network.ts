import { type Coverage, type Fault, faults } from './coverage.ts';
import type { World } from './world.ts';

/** A request as it is on the wire. */
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

/** What a sender learns: an answer, whole or broken off in the middle, or that the connection is gone. */
export type Reply = { readonly answer: Answer; readonly broken: boolean } | { readonly gone: string };

/** A replica as the network sees it. `answer` may be called once; null: the connection breaks. */
export interface Server {
  readonly name: string;
  /** The returned function tells it that its client is gone. */
  receive(request: WireRequest, answer: (answer: Answer | null) => void): () => void;
}

/** How bad the network is: probabilities, and times in ms. */
export interface Weather {
  loss: number;
  duplicates: number;
  late: number;
  lateMs: number;
}

/** Node's own patience with a connection that is silent. */
const silenceMs = 300_000;

export interface Partition {
  readonly host: string;
  readonly server: string | null;
  readonly direction: 'requests' | 'answers' | 'both';
  /** Of the heartbeats alone: some proxy on the way has had enough of them. */
  readonly heartbeats: boolean;
}

/** Loses, doubles, delays and reorders what goes between executors and replicas. */
export class Network {
  weather: Weather = { loss: 0, duplicates: 0, late: 0, lateMs: 0 };
  readonly partitions = new Set<Partition>();
  private readonly world: World;
  private readonly coverage: Coverage;
  private readonly servers: readonly Server[];
  /** The jobs that a request is about. */
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

  /** `reply` is called once at most. The returned function gives the request up. */
  send(request: WireRequest, reply: (reply: Reply) => void): () => void {
    const { random } = this.world;
    let over = false;
    const end = (result: Reply) => {
      if (over) return;
      over = true;
      reply(result);
    };
    const lose = (fault: Fault) => {
      this.hit(fault, request);
      // Mostly somebody says so; else it is found out by waiting.
      const ms = random.chance(0.8) ? random.between(0, 1_000) : silenceMs;
      this.world.after(ms, () => end({ gone: fault }));
    };
    const goneAt: (() => void)[] = [];
    const carry = (first: boolean, delayMs: number) => {
      const server = random.pick(this.servers);
      const number = (this.sent += 1);
      this.world.after(delayMs, () => {
        if (this.cut(request, server.name, 'requests')) {
          if (first) lose('partition');
          else this.hit('partition', request);
          return;
        }
        this.arrived(request, number);
        goneAt.push(
          server.receive(request, (answer) => {
            if (!first) return;
            if (!answer) this.world.after(random.between(0, 500), () => end({ gone: 'reset' }));
            else this.back(request, server, answer, end, lose);
          }),
        );
      });
    };
    if (random.chance(this.weather.loss)) lose('request lost');
    else carry(true, this.delay(request, false));
    if (random.chance(this.weather.duplicates)) {
      this.hit('duplicate', request);
      carry(false, random.chance(0.5) ? random.between(0, 500) : random.between(0, 30_000));
    }
    return () => {
      over = true;
      // That the sender is gone has to be heard of, too.
      if (!random.chance(this.weather.loss))
        this.world.after(random.between(0, 50), () => goneAt.forEach((gone) => gone()));
    };
  }

  private back(
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
    if (broken) this.hit('answer lost', request);
    this.world.after(this.delay(request, true), () => {
      if (this.cut(request, server.name, 'answers')) lose('partition');
      else end({ answer, broken });
    });
  }

  private delay(request: WireRequest, answer: boolean): number {
    const { random } = this.world;
    // Of what was held for long the way is forgotten more often: the lease that an answer brings may be old.
    const held = request.path.endsWith('/dequeue');
    if (!random.chance(this.weather.late * (held ? 3 : 1))) return random.between(0.2, 20);
    this.hit('late', request);
    // As late as a renewal may be that still counts, and a lease that still lasts.
    if (answer && request.path.endsWith('/heartbeat')) return random.between(2_000, 4_000);
    if (answer && held && random.chance(0.5)) return random.between(2_000, 10_000);
    return random.between(0, random.chance(0.7) ? 4_000 : this.weather.lateMs);
  }

  private cut({ from, path }: WireRequest, server: string, direction: 'requests' | 'answers'): boolean {
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

  private arrived(request: WireRequest, number: number): void {
    const newest = this.newest.get(request.from) ?? 0;
    if (number < newest) this.hit('overtaken', request);
    else this.newest.set(request.from, number);
  }

  private hit(fault: (typeof faults)[number], request: WireRequest): void {
    this.world.note(`${request.from}: ${fault}: ${request.path.replace('/.executors/queue/', '')}`);
    this.coverage.fault(fault, this.about(request));
  }
}
