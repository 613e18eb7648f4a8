import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  addLogEntryRequestSchema,
  commonVersion,
  type Job,
  type NextStep,
  type NextStepRequest,
  nextStepRequestSchema,
  type Order,
  protocolHeader,
  protocolVersion,
} from '@fumehood/protocol';

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export interface FakeEntry {
  key: string;
  stdout: Buffer;
  stderr: Buffer;
  exitCode: number | null;
}

type Route = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void | Promise<void>;

/** A native instance in memory, with the routes of executors, for one executor. Tests look into it and break it. */
export class FakeInstance {
  /** The executor's credential. It is random, because an inspection searches the VM for it. */
  readonly credential = randomBytes(32).toString('hex');
  readonly jobs: Job[] = [];
  readonly leased = new Map<number, Job>();
  readonly canceled = new Set<number>();
  readonly entries: FakeEntry[] = [];
  readonly blobs = new Map<string, Buffer>();
  readonly marks: { operation: string; reason?: string; errorMessage?: string }[] = [];
  readonly requests: string[] = [];
  readonly uploads: Buffer[] = [];
  /** The answers to the questions for the steps of a batch job, in their order; nothing follows the last one. */
  readonly answers: NextStep[] = [];
  /** What the executor has reported of steps. */
  readonly ends: NextStepRequest['done'][] = [];
  readonly diffs: Buffer[] = [];
  result: unknown = null;
  /** Why the executor leases nothing by itself, as its last heartbeat said. */
  trouble: string | null = null;
  input = Buffer.alloc(0);
  inputEnded = true;
  /** The version of the protocol that it speaks, or null for upstream's protocol, which has no header for it. */
  speaks: number | null = protocolVersion;
  /** The versions that the executor sent with the requests on its own routes. */
  readonly receivedVersions: (string | undefined)[] = [];
  draining = false;
  /** The open push streams. */
  readonly streams = new Set<ServerResponse>();
  /** The directory of bare repositories that the git route serves; '' for none. */
  repositories = '';
  /** Called before the routes. Returns true when it has answered, or will not let the request be answered. */
  intercept: (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean = () => false;
  url = '';
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.answer(request, response, Buffer.concat(chunks)));
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.listen(0, '127.0.0.1', resolve);
    });
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => {
      this.server.close(resolve);
    });
  }

  /** Returns the stdout of the entries with this key. */
  output(key: string): string {
    return this.entries
      .filter((entry) => entry.key === key)
      .map((entry) => entry.stdout.toString())
      .join('');
  }

  private answer(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const url = new URL(request.url ?? '/', 'http://fake');
    this.requests.push(`${request.method} ${url.pathname}`);
    if (this.intercept(request, response, body)) return;
    if (/^\/\.executors\/queue\/\w+$/.test(url.pathname) && this.refuseVersion(request, response)) return;
    if (url.pathname === '/.executors/test/auth') {
      const isKnown = request.headers.authorization === `token-executor ${this.credential}`;
      response.writeHead(isKnown ? 200 : 401).end();
      return;
    }
    if (url.pathname === '/.executors/queue/push') return void this.push(request, response, body);
    if (url.pathname === '/.executors/queue/dequeue') return void this.dequeue(request, response, body);
    if (url.pathname === '/.executors/queue/heartbeat') return void this.heartbeat(request, response, body);
    const job = this.leased.get(Number(request.headers['x-sourcegraph-job-id']));
    const isLog = /\/(?:addExecutionLogEntry|updateExecutionLogEntry|appendLog)$/.test(url.pathname);
    const isOver = !job || (this.canceled.has(job.id) && !isLog);
    if (isOver || request.headers.authorization !== `Bearer ${job.token}`) {
      response.writeHead(401).end('invalid token');
      return;
    }
    if (url.pathname.startsWith('/.executors/git/') && this.repositories) {
      httpBackend(this.repositories, request, response, body);
      return;
    }
    if (url.pathname === '/.executors/scip/upload') {
      this.uploads.push(body);
      response.writeHead(202).end('{"id":"1"}');
      return;
    }
    const operation = url.pathname.split('/').slice(4);
    const route = this.jobRoutes[operation[0] ?? ''];
    if (route) void route(request, response, body);
    else response.writeHead(404).end();
  }

  /** Sends an order to every open push stream. */
  pushOrder(order: Order): void {
    for (const stream of this.streams) stream.write(`data: ${JSON.stringify(order)}\n\n`);
  }

  /** Answers a request of a version that is too far away, and returns true then. */
  private refuseVersion(request: IncomingMessage, response: ServerResponse): boolean {
    const header = request.headers[protocolHeader]?.toString();
    this.receivedVersions.push(header);
    if (this.speaks === null) return false;
    response.setHeader(protocolHeader, String(this.speaks));
    if (commonVersion(header, this.speaks) !== null) return false;
    response.writeHead(426).end('{"error":"other versions"}');
    return true;
  }

  private readonly push: Route = (request, response) => {
    if ((this.speaks ?? 0) < 2) response.writeHead(404).end();
    else if (request.headers.authorization !== `token-executor ${this.credential}`)
      response.writeHead(401).end();
    else {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      this.streams.add(response);
      response.once('close', () => this.streams.delete(response));
    }
  };

  private readonly dequeue: Route = (request, response) => {
    if (request.headers.authorization !== `token-executor ${this.credential}`) {
      response.writeHead(401).end();
      return;
    }
    const job = this.jobs.shift();
    if (!job) setTimeout(() => response.writeHead(204).end(), 50);
    else {
      this.leased.set(job.id, job);
      response.end(JSON.stringify(job));
    }
  };

  private readonly heartbeat: Route = (_request, response, body) => {
    const name = (job: Job) => `${job.id}-${job.queue}`;
    const { fumehood } = JSON.parse(body.toString()) as {
      fumehood: { leases: { jobId: number }[]; trouble?: string };
    };
    this.trouble = fumehood.trouble ?? null;
    for (const id of this.canceled) {
      if (fumehood.leases.some((lease) => lease.jobId === id) || !this.leased.delete(id)) continue;
      this.marks.push({ operation: 'released' });
    }
    const held = [...this.leased.values()];
    response.end(
      JSON.stringify({
        knownIds: held.map(name),
        cancelIds: held.filter((job) => this.canceled.has(job.id)).map(name),
        ...((this.speaks ?? 0) >= 2 && { fumehood: { draining: this.draining } }),
      }),
    );
  };

  private readonly mark: Route = (request, response, body) => {
    const { jobId, reason, errorMessage } = JSON.parse(body.toString()) as {
      jobId: number;
      reason?: string;
      errorMessage?: string;
    };
    this.leased.delete(jobId);
    this.marks.push({
      operation: (request.url ?? '').split('/').at(-1) ?? '',
      ...(reason && { reason }),
      ...(errorMessage && { errorMessage }),
    });
    response.writeHead(204).end();
  };

  private readonly jobRoutes: Readonly<Record<string, Route>> = {
    addExecutionLogEntry: (_request, response, body) => {
      const { key, fumehood } = addLogEntryRequestSchema.parse(JSON.parse(body.toString()));
      const entry = fumehood?.entry ?? this.entries.length + 1;
      this.entries[entry - 1] ??= { key, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: null };
      response.end(String(entry));
    },
    updateExecutionLogEntry: (_request, response, body) => {
      const { entryId, exitCode } = JSON.parse(body.toString()) as { entryId: number; exitCode: number };
      const entry = this.entries[entryId - 1];
      if (entry) entry.exitCode = exitCode;
      response.writeHead(entry ? 204 : 404).end();
    },
    appendLog: (request, response, body) => {
      const query = new URL(request.url ?? '/', 'http://fake').searchParams;
      const entry = this.entries[Number(query.get('entry')) - 1];
      if (!entry) {
        response.writeHead(404).end();
        return;
      }
      const stream = query.get('stream') as 'stdout' | 'stderr';
      const offset = Number(query.get('offset'));
      if (offset > entry[stream].length) response.statusCode = 409;
      else entry[stream] = Buffer.concat([entry[stream].subarray(0, offset), body]);
      response.end(JSON.stringify({ offset: entry[stream].length }));
    },
    input: (request, response) => {
      const offset = Number(new URL(request.url ?? '/', 'http://fake').searchParams.get('offset'));
      if (this.inputEnded) response.setHeader('x-fumehood-input-end', 'true');
      response.end(this.input.subarray(offset));
    },
    blob: (request, response) => {
      const blob = this.blobs.get((request.url ?? '').split('/').at(-1) ?? '');
      if (blob) response.end(request.method === 'HEAD' ? undefined : blob);
      else response.writeHead(404).end();
    },
    nextStep: (_request, response, body) => {
      this.ends.push(nextStepRequestSchema.parse(JSON.parse(body.toString())).done);
      response.end(JSON.stringify(this.answers.shift() ?? { next: null, restore: null, skipped: [] }));
    },
    stepDiff: (_request, response, body) => {
      this.diffs.push(body);
      response.end(JSON.stringify({ digest: digestOf(body) }));
    },
    result: (_request, response, body) => {
      this.result = JSON.parse(body.toString());
      response.writeHead(204).end();
    },
    markComplete: this.mark,
    markErrored: this.mark,
    markFailed: this.mark,
  };
}

/** Serves git's CGI program, as the instance does, but without a check of the token. */
export function httpBackend(
  root: string,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
): void {
  const url = new URL(request.url ?? '/', 'http://fake');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: '/usr/bin:/bin',
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      REQUEST_METHOD: request.method ?? 'GET',
      PATH_INFO: url.pathname.slice('/.executors/git'.length),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      CONTENT_LENGTH: String(body.length),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => {});
  child.stdin.end(body);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.on('close', () => {
    const all = Buffer.concat(chunks);
    const end = all.indexOf('\r\n\r\n');
    const status = /^Status: (\d+)/m.exec(all.toString('latin1', 0, end))?.[1];
    response.writeHead(Number(status ?? 200)).end(all.subarray(end + 4));
  });
}
