import type { Readable } from 'node:stream';
import { factsOf } from '@fumehood/base';
import {
  type Attempt,
  attemptsSchema,
  type CreateJob,
  definitionExampleSchema,
  definitionsSchema,
  idempotencyHeader,
  type JobEvent,
  type JobPage,
  jobPageSchema,
  type JobRecord,
  jobRecordSchema,
  type ListJobs,
  type QueueName,
  type Share,
  sharesSchema,
  type Status,
  statusSchema,
  type UploadRecord,
  uploadRecordSchema,
  type Why,
  whySchema,
} from '@fumehood/protocol';
import { z } from 'zod';
import { type AccessClient, accessClient } from './access.ts';
import { jobEvents } from './events.ts';
import { type ClientOptions, openHttp } from './http.ts';

export interface Position {
  /** From the repository's root. */
  readonly path: string;
  /** From 0. */
  readonly line: number;
  readonly character: number;
}

/** An instance's API for people and programs. Errors of every method: `instance_unreachable`, `answer_unknown`, and the instance's own. */
export interface Client {
  /** With an idempotency key it may be asked again when no answer came: there will be one job. */
  createJob(job: CreateJob, options?: { readonly idempotencyKey?: string }): Promise<JobRecord>;
  job(id: number): Promise<JobRecord>;
  /** Jobs from the newest on, a page. */
  jobs(filter?: ListJobs): Promise<JobPage>;
  attempts(id: number): Promise<Attempt[]>;
  why(id: number): Promise<Why>;
  shares(): Promise<Share[]>;
  setShare(queue: QueueName, tenant: string, weight: number): Promise<void>;
  cancel(id: number): Promise<void>;
  /** A job's events to its end, each once, over restarts of the instance. */
  events(id: number, options?: { readonly signal?: AbortSignal }): AsyncGenerator<JobEvent>;
  /** Passes a stream on as the job's stdin, with its end. Errors: `job_ended` when nobody will read it any more. */
  sendInput(id: number, input: Readable, signal: AbortSignal): Promise<void>;
  hasBlob(digest: string): Promise<boolean>;
  putBlob(digest: string, content: Readable, bytes: number): Promise<void>;
  /** A pack that holds one commit without its history. */
  putPack(repository: string, commit: string, pack: Readable): Promise<void>;
  upload(id: number): Promise<UploadRecord>;
  definitions(upload: number, position: Position): Promise<z.infer<typeof definitionsSchema>>;
  /** One reference with its definition, or null when the index has none. */
  example(upload: number): Promise<z.infer<typeof definitionExampleSchema> | null>;
  status(): Promise<Status>;
  /** Whether an executor is to lease nothing more; what runs there goes on. Errors: `executor_not_found`. */
  setDraining(executor: string, draining: boolean): Promise<void>;
  readonly access: AccessClient;
}

const nextOffsetSchema = z.object({ offset: z.int().nonnegative() });

export function openClient(options: ClientOptions): Client {
  const http = openHttp(options);
  const get = <S extends z.ZodType>(schema: S, path: string) => http.ask(schema, { method: 'GET', path });
  return {
    createJob: (job, { idempotencyKey } = {}) =>
      http.ask(jobRecordSchema, {
        method: 'POST',
        path: '/api/jobs',
        json: job,
        ...(idempotencyKey !== undefined && { headers: { [idempotencyHeader]: idempotencyKey } }),
      }),
    job: (id) => get(jobRecordSchema, `/api/jobs/${id}`),
    jobs: (filter = {}) => get(jobPageSchema, `/api/jobs?${queryOf(filter)}`),
    attempts: async (id) => (await get(attemptsSchema, `/api/jobs/${id}/attempts`)).attempts,
    why: (id) => get(whySchema, `/api/jobs/${id}/why`),
    shares: async () => (await get(sharesSchema, '/api/shares')).shares,
    setShare(queue, tenant, weight) {
      const path = `/api/shares/${queue}/${encodeURIComponent(tenant)}`;
      return quietly(http.send({ method: 'PUT', path, json: { weight } }));
    },
    cancel: (id) => quietly(http.send({ method: 'POST', path: `/api/jobs/${id}/cancel` })),
    events: (id, { signal } = {}) => jobEvents(http, id, signal),
    async sendInput(id, input, signal) {
      let offset = 0;
      const send = async (bytes: Uint8Array<ArrayBuffer>, end: boolean) => {
        const path = `/api/jobs/${id}/input?offset=${offset}&end=${end}`;
        ({ offset } = await http.ask(nextOffsetSchema, { method: 'POST', path, bytes, signal }));
      };
      for await (const chunk of input) await send(chunk as Uint8Array<ArrayBuffer>, false);
      await send(new Uint8Array(0), true);
    },
    hasBlob: (digest) =>
      http.send({ method: 'HEAD', path: `/api/blobs/${digest}` }).then(
        () => true,
        (error: unknown) => {
          if (factsOf(error).status === 404) return false;
          throw error;
        },
      ),
    putBlob: (digest, bytes, size) =>
      quietly(
        http.send({
          method: 'PUT',
          path: `/api/blobs/${digest}`,
          bytes,
          headers: { 'content-length': String(size) },
        }),
      ),
    putPack(repository, commit, bytes) {
      const name = repository.split('/').map(encodeURIComponent).join('/');
      return quietly(
        http.send({ method: 'POST', path: `/api/repositories/${name}/pack?commit=${commit}`, bytes }),
      );
    },
    upload: (id) => get(uploadRecordSchema, `/api/uploads/${id}`),
    definitions(upload, { path, line, character }) {
      const query = new URLSearchParams({ path, line: String(line), character: String(character) });
      return get(definitionsSchema, `/api/uploads/${upload}/definition?${query.toString()}`);
    },
    example: (upload) =>
      get(definitionExampleSchema, `/api/uploads/${upload}/example`).catch((error: unknown) => {
        if (factsOf(error).code === 'no_example') return null;
        throw error;
      }),
    status: () => get(statusSchema, '/api/status'),
    setDraining(executor, draining) {
      const path = `/api/executors/${encodeURIComponent(executor)}/${draining ? 'drain' : 'resume'}`;
      return quietly(http.send({ method: 'POST', path }));
    },
    access: accessClient(http),
  };
}

function queryOf(filter: ListJobs): string {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

/** The answer's body is of no use, but has to be read before the connection is. */
async function quietly(answer: Promise<Response>): Promise<void> {
  await (await answer).body?.cancel();
}
