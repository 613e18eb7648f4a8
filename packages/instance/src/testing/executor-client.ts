import { request as httpRequest } from 'node:http';
import {
  type AddLogEntryRequest,
  type DequeueRequest,
  executorNameHeader,
  type HeartbeatRequest,
  type HeartbeatResponse,
  heartbeatResponseSchema,
  type Job,
  jobIdHeader,
  type JobResultRequest,
  jobSchema,
  type NextStepRequest,
  protocolHeader,
  protocolVersion,
  type QueueName,
  type ReceiptsRequest,
  type Tier,
  type UpdateLogEntryRequest,
} from '@fumehood/protocol';

type Headers = Record<string, string>;
/** Sends one request, as `fetch` does. */
export type Send = (url: string, init: RequestInit) => Promise<Response>;
/** The executor and the job are known already. */
type Without<T> = Omit<T, 'executorName' | 'jobId'>;

export interface ExecutorOptions {
  readonly url: string;
  readonly credential: string;
  /** Default `e1`. */
  readonly name?: string;
  /** The value of the protocol header; null sends none, as upstream's executors do. Default: the version of this build. */
  readonly protocol?: string | null;
  /** Sends each request; default `fetch`. */
  readonly send?: Send;
}

interface RawRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Headers;
  readonly body?: string;
}

interface LeaseOptions {
  readonly queues?: QueueName[];
  readonly tiers?: Tier[];
  readonly waitMs?: number;
  /** Whether it can give guests a network; default true. */
  readonly network?: boolean;
  readonly labels?: string[];
  readonly room?: { readonly cpus: number; readonly memoryMiB: number; readonly scratchMiB: number };
  readonly signal?: AbortSignal;
}

/** Routes of one job. Every method sends one request with the job's token, and returns the response as it came. */
export interface JobRoutes {
  addEntry(entry: Without<AddLogEntryRequest>): Promise<Response>;
  updateEntry(entry: Without<UpdateLogEntryRequest>): Promise<Response>;
  append(entry: number, stream: string, offset: number, bytes: string | Uint8Array): Promise<Response>;
  input(offset: number, options?: { waitMs?: number; method?: string }): Promise<Response>;
  /** `digest` may be the image of a step, `blob:sha256:…`. */
  blob(digest: string, method?: string): Promise<Response>;
  artifact(path: string, bytes: string | Uint8Array): Promise<Response>;
  nextStep(done: NextStepRequest['done']): Promise<Response>;
  stepDiff(step: number, diff: string | Uint8Array): Promise<Response>;
  receipts(receipts: Without<ReceiptsRequest>): Promise<Response>;
  result(result: Without<JobResultRequest>): Promise<Response>;
  complete(): Promise<Response>;
  errored(errorMessage: string, reason?: string): Promise<Response>;
  failed(errorMessage: string, reason?: string): Promise<Response>;
  refs(repository: string, method?: string): Promise<Response>;
  uploadPack(repository: string, body: Uint8Array): Promise<Response>;
  /** Sends a gzipped index; without one it asks, by HEAD. */
  upload(query: Headers, index?: Uint8Array, format?: string): Promise<Response>;
}

/** The executor's side of the wire. */
export type ExecutorClient = ReturnType<typeof executorClient>;

/** Returns the headers of a job route for a leased job. */
export function jobHeaders(job: Pick<Job, 'id' | 'token'>, executor = 'e1'): Headers {
  return {
    authorization: `Bearer ${job.token}`,
    [jobIdHeader]: String(job.id),
    [executorNameHeader]: executor,
  };
}

/** Returns the native part of a dequeue request of an idle executor. */
export function nativeOffer(options: LeaseOptions = {}): NonNullable<DequeueRequest['fumehood']> {
  const { tiers = ['vm-emulated'], waitMs = 0, network = true, labels = [] } = options;
  const { room = { cpus: 4, memoryMiB: 8192, scratchMiB: 65_536 } } = options;
  const free = { freeCpus: room.cpus, freeMemoryMiB: room.memoryMiB, freeScratchMiB: room.scratchMiB };
  return { tiers, arch: 'x64', waitMs, network, labels, total: room, ...free };
}

/** Returns a client for every request that an executor sends to an instance. */
export function executorClient(options: ExecutorOptions) {
  const { url, credential, name = 'e1', protocol = String(protocolVersion), send = fetch } = options;
  const headers: Headers = {
    authorization: `token-executor ${credential}`,
    ...(protocol !== null && { [protocolHeader]: protocol }),
  };
  const post = (path: string, body: object, signal?: AbortSignal) =>
    send(`${url}/.executors/queue/${path}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ executorName: name, ...body }),
      ...(signal && { signal }),
    });
  const route = (operation: string, queue?: string) =>
    queue === undefined ? operation : `${queue}/${operation}`;
  const dequeue = (
    request: Partial<DequeueRequest>,
    { queue, signal }: { queue?: string; signal?: AbortSignal } = {},
  ): Promise<Response> => post(route('dequeue', queue), { version: '0.1.0', ...request }, signal);
  const heartbeat = (request: Partial<HeartbeatRequest>, queue?: string): Promise<Response> =>
    post(route('heartbeat', queue), request);

  return {
    /** The headers of the executor's own routes. */
    headers,
    /** Asks for a job, on the route of one queue or of all. */
    dequeue,
    heartbeat,
    /** Leases a job natively; null when there is none. */
    async lease({ queues = ['runs'], signal, ...offer }: LeaseOptions = {}): Promise<Job | null> {
      const request = { queues, fumehood: nativeOffer(offer) };
      const response = await dequeue(request, signal && { signal });
      return response.status === 204 ? null : jobSchema.parse(await response.json());
    },
    /** Renews the leases of jobs natively. */
    async renew(jobs: readonly Job[], tiers: Tier[] = ['vm-emulated']): Promise<HeartbeatResponse> {
      const byQueue = Map.groupBy(jobs, (job) => job.queue as QueueName);
      const response = await heartbeat({
        queueNames: [...byQueue.keys()],
        jobIdsByQueue: [...byQueue].map(([queueName, held]) => ({
          queueName,
          jobIds: held.map(({ id }) => id),
        })),
        fumehood: {
          tiers,
          leases: jobs.map(({ id, fumehood }) => ({ jobId: id, attempt: fumehood?.attempt ?? 1 })),
        },
      });
      return heartbeatResponseSchema.parse(await response.json());
    },
    /** Opens the push stream. */
    push: (signal?: AbortSignal): Promise<Response> =>
      send(`${url}/.executors/queue/push?executorName=${name}`, { headers, ...(signal && { signal }) }),
    /** Returns the routes of a job; `queue` and `headers` replace the job's own. */
    job: (
      job: Pick<Job, 'id' | 'token' | 'queue'>,
      other: { queue?: string; headers?: Headers } = {},
    ): JobRoutes =>
      jobRoutes({
        url,
        send,
        executorName: name,
        job,
        queue: String(other.queue ?? job.queue),
        headers: other.headers ?? jobHeaders(job, name),
      }),
    /** Sends a request exactly as it is given: nothing is added, no redirect is followed, and any method may have a body. */
    raw: (request: RawRequest): Promise<Response> => sendRaw(url, request),
  };
}

interface JobTarget {
  readonly url: string;
  readonly send: Send;
  readonly executorName: string;
  readonly job: Pick<Job, 'id' | 'token'>;
  readonly queue: string;
  readonly headers: Headers;
}

function jobRoutes({ url, send, executorName, job, queue, headers }: JobTarget): JobRoutes {
  const ask = (path: string, method: string, body?: string | Uint8Array, type?: Headers) =>
    send(`${url}/.executors/${path}`, {
      method,
      headers: { ...type, ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    });
  const post = (operation: string, body: object) =>
    ask(`queue/${queue}/${operation}`, 'POST', JSON.stringify({ executorName, jobId: job.id, ...body }), {
      'content-type': 'application/json',
    });
  return {
    addEntry: (entry) => post('addExecutionLogEntry', entry),
    updateEntry: (entry) => post('updateExecutionLogEntry', entry),
    append: (entry, stream, offset, bytes) =>
      ask(`queue/${queue}/appendLog?entry=${entry}&stream=${stream}&offset=${offset}`, 'POST', bytes),
    input: (offset, { waitMs = 0, method = 'GET' } = {}) =>
      ask(`queue/${queue}/input?offset=${offset}&waitMs=${waitMs}`, method),
    blob: (digest, method = 'GET') => ask(`queue/${queue}/blob/${digest.replace('blob:', '')}`, method),
    artifact: (path, bytes) => ask(`queue/${queue}/artifact?path=${encodeURIComponent(path)}`, 'POST', bytes),
    nextStep: (done) => post('nextStep', { done }),
    stepDiff: (step, diff) => ask(`queue/${queue}/stepDiff?step=${step}`, 'POST', diff),
    receipts: (receipts) => post('receipts', receipts),
    result: (result) => post('result', result),
    complete: () => post('markComplete', {}),
    errored: (errorMessage, reason) => post('markErrored', { errorMessage, reason }),
    failed: (errorMessage, reason) => post('markFailed', { errorMessage, reason }),
    refs: (repository, method = 'GET') => ask(`git/${repository}/info/refs?service=git-upload-pack`, method),
    uploadPack: (repository, body) =>
      ask(`git/${repository}/git-upload-pack`, 'POST', body, {
        'content-type': 'application/x-git-upload-pack-request',
        'git-protocol': 'version=2',
      }),
    upload: (query, index, format = 'scip') =>
      ask(`${format}/upload?${new URLSearchParams(query).toString()}`, index ? 'POST' : 'HEAD', index, {
        'content-type': 'application/x-protobuf+scip',
      }),
  };
}

function sendRaw(url: string, { method, path, headers, body = '' }: RawRequest): Promise<Response> {
  return new Promise((resolve, reject) => {
    const length = body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const request = httpRequest(
      `${url}${path}`,
      { method, headers: { ...headers, ...length } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const status = response.statusCode ?? 0;
          const content = status === 204 || status === 304 ? null : Buffer.concat(chunks);
          const pairs = Object.entries(response.headersDistinct).flatMap(([key, values = []]) =>
            values.map((value) => [key, value] as [string, string]),
          );
          resolve(new Response(content, { status, headers: pairs }));
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
