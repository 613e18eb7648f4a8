import { Readable } from 'node:stream';
import { type Answer, factsOf } from '@fumehood/base';
import {
  type Artifact,
  artifactsSchema,
  type Attempt,
  attemptsSchema,
  type CreateJob,
  definitionExampleSchema,
  idempotencyHeader,
  type JobEvent,
  type JobNetwork,
  jobNetworkSchema,
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
import * as z from 'zod';
import { type AccessClient, accessClient } from './access.ts';
import { type CodeClient, codeClient } from './code.ts';
import { jobEvents, type WantedEvents } from './events.ts';
import { encodePath, type ClientOptions, openHttp, queryOf } from './http.ts';
import { type BatchesClient, batchesClient } from './batches/client.ts';
import { type BrokerClient, brokerClient } from './broker.ts';
import { type CodeHostsClient, codeHostsClient } from './code-hosts.ts';
import { type CeilingsClient, ceilingsClient } from './ceilings.ts';
import { type OrganisationsClient, organisationsClient } from './organisations.ts';
import { type RegistriesClient, registriesClient } from './registries.ts';
import { type RepositoriesClient, repositoriesClient } from './repositories.ts';
import { type SecretsClient, secretsClient } from './secrets.ts';

/**
 * The API of an instance for people and programs. Every method may reject with `answer_unknown`, the errors of `Http.send` or an
 * error of the instance.
 */
export interface Client {
  /** Creates a job. With an idempotency key, a caller that got no answer can repeat the request without creating a second job. */
  createJob(job: CreateJob, options?: { readonly idempotencyKey?: string }): Promise<JobRecord>;
  job(id: number): Promise<JobRecord>;
  /** Returns a page of jobs, newest first. */
  jobs(filter?: ListJobs): Promise<JobPage>;
  attempts(id: number): Promise<Attempt[]>;
  why(id: number): Promise<Why>;
  shares(): Promise<Share[]>;
  setShare(queue: QueueName, tenant: string, weight: number): Promise<void>;
  cancel(id: number): Promise<void>;
  /** Deletes a job that has ended. Errors: `job_not_ended`. */
  deleteJob(id: number): Promise<void>;
  /**
   * Yields each event of a job once, until the job ends; without `follow`, those so far. Resumes after a restart of the instance.
   */
  events(id: number, options?: WantedEvents & { readonly signal?: AbortSignal }): AsyncGenerator<JobEvent>;
  /** Forwards a stream and its end to the stdin of the job. Errors: `job_ended`. */
  sendInput(id: number, input: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /** Returns what the last attempt of a job brought back. */
  artifacts(id: number): Promise<Artifact[]>;
  /** Opens what a job brought back from a path: a tar archive, to be taken for hostile. Errors: `artifact_not_found`. */
  artifact(id: number, path: string): Promise<AsyncIterable<Uint8Array>>;
  /** Returns what an attempt of a job has asked of the network so far; `attempt` null: the last one. Errors: `attempt_not_found`. */
  network(id: number, attempt: number | null): Promise<JobNetwork>;
  hasBlob(digest: string): Promise<boolean>;
  putBlob(digest: string, content: Readable, bytes: number): Promise<void>;
  /** Uploads a pack that holds one commit without its history. */
  putPack(repository: string, commit: string, pack: Readable): Promise<void>;
  upload(id: number): Promise<UploadRecord>;
  /**
   * Returns a reference and its definition, or null if the index has none. With `into`, a directory, the reference is outside of it and the
   * definition below it.
   */
  example(upload: number, into?: string): Promise<z.infer<typeof definitionExampleSchema> | null>;
  status(): Promise<Status>;
  /** Sets whether an executor stops leasing jobs. Its running jobs go on. Errors: `executor_not_found`. */
  setDraining(executor: string, draining: boolean): Promise<void>;
  readonly access: AccessClient;
  readonly registries: RegistriesClient;
  readonly broker: BrokerClient;
  readonly repositories: RepositoriesClient;
  readonly code: CodeClient;
  readonly ceilings: CeilingsClient;
  readonly batches: BatchesClient;
  readonly codeHosts: CodeHostsClient;
  readonly secrets: SecretsClient;
  readonly organisations: OrganisationsClient;
}

const nextOffsetSchema = z.object({ offset: z.int().nonnegative() });

/** Opens a client of the instance at a URL. It connects when a method is called. */
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
      return discardBody(http.send({ method: 'PUT', path, json: { weight } }));
    },
    cancel: (id) => discardBody(http.send({ method: 'POST', path: `/api/jobs/${id}/cancel` })),
    deleteJob: (id) => discardBody(http.send({ method: 'DELETE', path: `/api/jobs/${id}` })),
    events: (id, { signal, ...wanted } = {}) => jobEvents(http, id, wanted, signal),
    async sendInput(id, input, signal) {
      let offset = 0;
      const send = async (bytes: Uint8Array<ArrayBuffer>, end: boolean) => {
        const path = `/api/jobs/${id}/input?offset=${offset}&end=${end}`;
        ({ offset } = await http.ask(nextOffsetSchema, { method: 'POST', path, bytes, signal }));
      };
      for await (const chunk of input) await send(chunk as Uint8Array<ArrayBuffer>, false);
      await send(new Uint8Array(0), true);
    },
    artifacts: async (id) => (await get(artifactsSchema, `/api/jobs/${id}/artifacts`)).artifacts,
    async artifact(id, path) {
      const name = encodePath(path);
      const response = await http.send({ method: 'GET', path: `/api/jobs/${id}/artifacts/${name}` });
      return response.body ?? Readable.from([]);
    },
    network: (id, attempt) =>
      get(jobNetworkSchema, `/api/jobs/${id}/network${attempt === null ? '' : `?attempt=${attempt}`}`),
    hasBlob: (digest) =>
      http.send({ method: 'HEAD', path: `/api/blobs/${digest}` }).then(
        () => true,
        (error: unknown) => {
          if (factsOf(error).status === 404) return false;
          throw error;
        },
      ),
    putBlob: (digest, bytes, size) =>
      discardBody(
        http.send({
          method: 'PUT',
          path: `/api/blobs/${digest}`,
          bytes,
          headers: { 'content-length': String(size) },
        }),
      ),
    putPack(repository, commit, bytes) {
      const name = encodePath(repository);
      return discardBody(
        http.send({ method: 'POST', path: `/api/repositories/${name}/pack?commit=${commit}`, bytes }),
      );
    },
    upload: (id) => get(uploadRecordSchema, `/api/uploads/${id}`),
    example(upload, into) {
      const query = into === undefined ? '' : `?into=${encodeURIComponent(into)}`;
      return get(definitionExampleSchema, `/api/uploads/${upload}/example${query}`).catch(
        (error: unknown) => {
          if (factsOf(error).code === 'no_example') return null;
          throw error;
        },
      );
    },
    status: () => get(statusSchema, '/api/status'),
    setDraining(executor, draining) {
      const path = `/api/executors/${encodeURIComponent(executor)}/${draining ? 'drain' : 'resume'}`;
      return discardBody(http.send({ method: 'POST', path }));
    },
    access: accessClient(http),
    registries: registriesClient(http),
    broker: brokerClient(http),
    repositories: repositoriesClient(http),
    code: codeClient(http),
    ceilings: ceilingsClient(http),
    batches: batchesClient(http),
    codeHosts: codeHostsClient(http),
    secrets: secretsClient(http),
    organisations: organisationsClient(http),
  };
}

/** Discards the body of a response, so that the connection is free for the next request. */
async function discardBody(response: Promise<Answer>): Promise<void> {
  await (await response).body?.cancel();
}
