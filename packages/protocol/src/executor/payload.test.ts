import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeJob, type Job, jobSchema } from './payload.ts';

/** Payloads of an empty job, byte for byte as upstream sends them. */
const v1 =
  '{"id":1,"token":"sometoken","repositoryName":"","repositoryDirectory":"","commit":"","fetchTags":false,"shallowClone":false,"sparseCheckout":null,"files":{},"dockerSteps":null,"cliSteps":null,"redactedValues":null}';
const v2 =
  '{"version":2,"id":1,"token":"sometoken","repositoryName":"","repositoryDirectory":"","commit":"","fetchTags":false,"shallowClone":false,"sparseCheckout":null,"files":{},"dockerSteps":null,"cliSteps":null,"redactedValues":null,"dockerAuthConfig":{}}';
const empty = jobSchema.parse(JSON.parse(v1));
const hello = new TextEncoder().encode('hello');
const noTime = '0001-01-01T00:00:00Z';
const file = (content: Uint8Array | null) => ({ content, bucket: '', key: '', modifiedAt: noTime });

test('an empty job is upstream’s sample, byte by byte', () => {
  expect(JSON.stringify(encodeJob(empty, 1))).toBe(v1);
  expect(JSON.stringify(encodeJob(empty, 2))).toBe(v2);
});

test('version 1 carries a file as plain text', () => {
  const wire = encodeJob({ ...empty, files: { 'a/b': file(hello) } }, 1);
  expect(wire).toMatchObject({ files: { 'a/b': { content: 'hello', modifiedAt: noTime } } });
  expect(wire).not.toHaveProperty('dockerAuthConfig');
  expect(wire).not.toHaveProperty('version');
});

test('version 1 cannot carry a file that is not text', () => {
  const files = { a: file(Uint8Array.of(0xff, 0x00)) };
  expect(() => encodeJob({ ...empty, files }, 1)).toThrow('the file a is not text');
});

test('version 2 carries a file as base64, has `version` first, and has credentials of registries', () => {
  const dockerAuthConfig = { auths: { 'index.docker.io': { auth: 'Zm9vYmFy' } } };
  const wire = encodeJob({ ...empty, files: { a: file(hello) }, dockerAuthConfig }, 2);
  expect(Object.keys(wire)[0]).toBe('version');
  expect(wire).toMatchObject({ version: 2, files: { a: { content: 'aGVsbG8=' } }, dockerAuthConfig });
});

test('a payload without a version is version 1, and a file in it may be its text alone', () => {
  const files = { a: { content: 'aGVsbG8=' }, b: 'plain' };
  const job = jobSchema.parse({ ...JSON.parse(v1), files });
  expect(job.files).toEqual({
    a: file(new TextEncoder().encode('aGVsbG8=')),
    b: file(new TextEncoder().encode('plain')),
  });
});

test('version 2 refuses a file that is not base64, and names it', () => {
  const parse = (content: string) => jobSchema.safeParse({ ...JSON.parse(v2), files: { a: { content } } });
  expect(parse('aGVsbG8=').data?.files).toEqual({ a: file(hello) });
  expect(parse('hello!').error?.issues[0]?.path).toEqual(['files', 'a', 'content']);
});

test('a file of the files route keeps its bucket, key and time', () => {
  const mounted = { content: null, bucket: 'batch-changes', key: 'x/y', modifiedAt: '2024-02-03T04:05:06Z' };
  const { content: _, ...onWire } = mounted;
  const wire = encodeJob({ ...empty, files: { a: mounted } }, 2);
  expect(wire).toMatchObject({ files: { a: onWire } });
  expect(jobSchema.parse(wire).files).toEqual({ a: mounted });
});

test('a credential of a registry is base64 of user and password, unchanged', () => {
  const dockerAuthConfig = { auths: { 'index.docker.io': { auth: 'Zm9vYmFy' } } };
  const job = jobSchema.parse({ ...JSON.parse(v2), dockerAuthConfig });
  expect(atob(job.dockerAuthConfig?.auths?.['index.docker.io']?.auth ?? '')).toBe('foobar');
  expect(encodeJob(job, 2)).toMatchObject({ dockerAuthConfig });
});

test('an unknown version is refused', () => {
  expect(jobSchema.safeParse({ ...JSON.parse(v2), version: 3 }).success).toBe(false);
});

describe('encoding and decoding', () => {
  const name = fc.string({ minLength: 1 }).filter((text) => text !== '__proto__');
  const lines = fc.option(fc.array(fc.string()));
  const step = fc.record(
    { key: name, image: name, commands: lines, dir: fc.option(fc.string()), env: lines },
    { requiredKeys: ['image'] },
  );
  const cliStep = fc.record({ key: name, command: fc.array(fc.string()) }, { requiredKeys: ['command'] });
  const place = fc.record({ content: fc.constant(null), bucket: name, key: name, modifiedAt: time() });
  const jobs = (content: fc.Arbitrary<Uint8Array>, second: boolean): fc.Arbitrary<Job> =>
    fc.record({
      id: fc.integer({ min: 1 }),
      token: name,
      repositoryName: fc.string(),
      repositoryDirectory: fc.string(),
      commit: fc.string(),
      fetchTags: fc.boolean(),
      shallowClone: fc.boolean(),
      sparseCheckout: lines,
      files: fc.dictionary(name, fc.oneof(place, content.map(file)), { noNullPrototype: true }),
      dockerSteps: fc.option(fc.array(step)),
      cliSteps: fc.option(fc.array(cliStep)),
      redactedValues: fc.option(fc.dictionary(name, fc.string(), { noNullPrototype: true })),
      ...(second && { dockerAuthConfig: fc.constantFrom({}, { auths: { r: { auth: 'Zm9v' } } }) }),
    });
  const same = (job: Job, version: 1 | 2) => {
    expect(jobSchema.parse(JSON.parse(JSON.stringify(encodeJob(job, version))))).toEqual(job);
  };

  test('in version 1 returns the same job, whatever text its files hold', () => {
    const text = fc.string({ unit: 'grapheme' }).map((one) => new TextEncoder().encode(one));
    fc.assert(fc.property(jobs(text, false), (job) => same(job, 1)));
  });
  test('in version 2 returns the same job, whatever bytes its files hold', () => {
    fc.assert(fc.property(jobs(fc.uint8Array(), true), (job) => same(job, 2)));
  });

  function time() {
    return fc
      .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
      .map((one) => one.toISOString());
  }
});
