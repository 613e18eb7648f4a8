import type { DockerStep, Job } from '@fumehood/protocol';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { testJob } from '../testing/test-job.ts';
import { takeUploadStep } from './upload-step.ts';

const credential = '0123456789abcdef0123';
const commit = '4d1f2f0b7f5a5c7f3c0a9d8e6b1a2c3d4e5f6071';
const flags = `-no-progress -repo github.com/acme/payments -commit ${commit} -root web -upload-route /.executors/scip/upload -file index.scip -associated-index-id 8812`;
const line = `src code-intel upload ${flags}`;
const uploadStep: DockerStep = {
  key: 'upload',
  image: 'sourcegraph/src-cli:5.3.0',
  commands: [line],
  dir: 'web',
  env: ['SRC_ENDPOINT=https://elsewhere.test', `SRC_HEADER_AUTHORIZATION=token-executor ${credential}`],
};
const indexer: DockerStep = {
  key: 'indexer',
  image: 'debian:12',
  commands: ['scip-x index'],
  env: ['NPM_TOKEN=npm'],
};

/** Returns a job as an upstream instance makes it for an auto-indexing run. */
function upstreamJob(change: Partial<Job> = {}): Job {
  const { fumehood: _, ...job } = testJob({
    id: 8812,
    queue: 'codeintel',
    repositoryName: 'github.com/acme/payments',
    commit,
    dockerSteps: [indexer, uploadStep],
    redactedValues: {
      [`token-executor ${credential}`]: 'token-executor REDACTED',
      [credential]: 'PASSWORD_REMOVED',
      npm: '${{ secrets.NPM_TOKEN }}',
    },
    ...change,
  });
  return job;
}
const withStep = (change: Partial<DockerStep>) =>
  upstreamJob({ dockerSteps: [indexer, { ...uploadStep, ...change }] });
const withLine = (text: string) => withStep({ commands: [text] });
const take = (job: Job, secrets = ['our-own-credential']) => takeUploadStep(job, secrets, false);
const refused = expect.objectContaining({ code: 'upload_step_refused' }) as Error;

describe('the upload step in upstream’s form', () => {
  it('becomes a description, and the job is left without the step, its credential and its redactions', () => {
    const { job, upload, exposed } = take(upstreamJob());
    expect(upload).toEqual({
      file: 'web/index.scip',
      root: 'web',
      indexer: null,
      route: '/.executors/scip/upload',
      associatedIndexId: 8812,
      authorization: `token-executor ${credential}`,
    });
    expect(exposed).toBe(false);
    expect(job.dockerSteps).toEqual([indexer]);
    expect(job.redactedValues).toEqual({ npm: '${{ secrets.NPM_TOKEN }}' });
    expect(JSON.stringify(job)).not.toContain(credential);
    expect(JSON.stringify({ job, upload })).not.toContain('elsewhere.test');
  });

  it.each([
    ['the older command', `src lsif upload ${flags.replace('scip/upload', 'lsif/upload')}`],
    ['quoted words', line.replace('index.scip', "'index.scip'")],
    ['flags as one word', line.replace('-root web', '--root=web')],
    ['the size of its parts', `${line} -max-payload-size 4096`],
    ['the indexer’s name', `${line} -indexer scip-go`],
  ])('is recognized with %s', (_name, text) => {
    expect(take(withLine(text)).upload).toMatchObject({ file: 'web/index.scip', root: 'web' });
  });

  it('in the top directory has no root', () => {
    const upload = take(withStep({ dir: '', commands: [line.replace('-root web', '-root .')] })).upload;
    expect(upload).toMatchObject({ file: 'index.scip', root: '' });
  });

  it.each<[string, Partial<DockerStep>]>([
    ['another image', { image: 'evil/src-cli-2:5' }],
    ['two commands', { commands: [line, 'id'] }],
    ['no command', { commands: [] }],
    ['arguments beside it', { argv: ['id'] }],
    ['a second command in the line', { commands: [`${line}; id`] }],
    ['a variable in the line', { commands: [`${line} $HOME`] }],
    ['another program', { commands: [line.replace('src ', 'curl ')] }],
    ['another subcommand', { commands: [line.replace('upload', 'download')] }],
    ['a flag that is not known', { commands: [`${line} -trace=3`] }],
    ['a flag twice', { commands: [`${line} -root web`] }],
    ['a flag without its value', { commands: [`${line} -indexer`] }],
    ['an argument that is no flag', { commands: [`${line} x`] }],
    ['another repository', { commands: [line.replace('acme/payments', 'acme/other')] }],
    ['another commit', { commands: [line.replace(commit, 'a'.repeat(40))] }],
    ['another route', { commands: [line.replace('/.executors/scip/upload', '/.api/graphql')] }],
    ['no index of the instance', { commands: [line.replace('8812', '0')] }],
    ['a file outside', { commands: [line.replace('index.scip', '../../etc/passwd')] }],
    ['a file by its full path', { commands: [line.replace('index.scip', '/etc/passwd')] }],
    ['a root outside', { commands: [line.replace('-root web', '-root ../web')] }],
    ['a directory outside', { dir: '../web' }],
    ['another variable', { env: [...(uploadStep.env ?? []), 'SRC_TRACE=1'] }],
    ['a variable twice', { env: [...(uploadStep.env ?? []), 'SRC_ENDPOINT=x'] }],
    ['no credential', { env: ['SRC_ENDPOINT=https://elsewhere.test'] }],
    ['another scheme', { env: ['SRC_ENDPOINT=x', `SRC_HEADER_AUTHORIZATION=Bearer ${credential}`] }],
    [
      'a credential too short to look for',
      { env: ['SRC_ENDPOINT=x', 'SRC_HEADER_AUTHORIZATION=token-executor a'] },
    ],
    ['the credential in its file', { commands: [line.replace('index.scip', credential)] }],
  ])('with %s is refused', (_name, change) => {
    expect(() => take(withStep(change))).toThrow(refused);
  });

  it('is refused with an error that does not quote its credential', () => {
    for (const text of [`${line} ${credential}`, `${line} -${credential}`, line.replace('src', credential)])
      expect(() => take(withLine(text))).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining(credential) as string }) as Error,
      );
  });

  it('before another step is refused', () => {
    expect(() => take(upstreamJob({ dockerSteps: [uploadStep, indexer] }))).toThrow(refused);
  });

  it('is recognized by its image and its variables, whatever its key is', () => {
    expect(take(withStep({ key: 'other' })).upload).not.toBeNull();
    expect(() => take(withStep({ key: 'other', image: 'debian:12' }))).toThrow(refused);
  });

  it('of another form stays in the job when the admin allows it, and the job is marked as exposed', () => {
    const job = withLine(`${line}; id`);
    expect(takeUploadStep(job, [], true)).toEqual({ job, upload: null, exposed: true });
    expect(takeUploadStep(upstreamJob(), [], true)).toMatchObject({ exposed: false });
  });
});

describe('a credential anywhere else in a job', () => {
  const bytes = (text: string) => new TextEncoder().encode(`x${text}`);
  const file = (text: string) => ({ content: bytes(text), bucket: '', key: '', modifiedAt: '' });
  const places: [string, (text: string) => Partial<Job>][] = [
    ['a variable', (text) => ({ dockerSteps: [{ ...indexer, env: [`A=${text}`] }, uploadStep] })],
    ['a command', (text) => ({ dockerSteps: [{ ...indexer, commands: [`echo ${text}`] }, uploadStep] })],
    ['an argument', (text) => ({ dockerSteps: [{ ...indexer, argv: [text] }, uploadStep] })],
    ['a directory', (text) => ({ dockerSteps: [{ ...indexer, dir: text }, uploadStep] })],
    ['a file', (text) => ({ files: { a: file(text) } })],
    ['the name of a file', (text) => ({ files: { [`b/${text}`]: file('') } })],
    ['a command of `src`', (text) => ({ cliSteps: [{ command: [text] }] })],
  ];
  it.each(places)('in %s is refused, and not quoted', (_name, change) => {
    const known = {
      'the taken one': credential,
      'our own': 'our-own-credential',
      'its scheme': 'token-executor x',
    };
    for (const secret of Object.values(known)) {
      const message = expect.not.stringContaining(secret) as string;
      expect(() => take(upstreamJob(change(secret)))).toThrow(
        expect.objectContaining({ code: 'upload_step_refused', message }) as Error,
      );
    }
  });

  it("is refused when it is the job's token, and its redactions are removed in a job without an upload", () => {
    const job = upstreamJob();
    expect(() =>
      take(
        upstreamJob({ token: 'the-token-of-it', dockerSteps: [{ ...indexer, env: ['A=the-token-of-it'] }] }),
      ),
    ).toThrow(refused);
    expect(take({ ...job, dockerSteps: [indexer] }).job.redactedValues).not.toHaveProperty(
      `token-executor ${credential}`,
    );
  });

  it('is never left in the job, in random places', () => {
    const text = fc.constantFrom(
      credential,
      `x${credential}y`,
      `token-executor ${credential}`,
      'harmless',
      '',
    );
    const steps = fc.array(
      fc.record({
        image: text,
        commands: fc.array(text),
        env: fc.array(text.map((one) => `A=${one}`)),
        dir: text,
      }),
    );
    const jobs = fc.record({
      dockerSteps: steps.map((some) => [...some, uploadStep]),
      redactedValues: fc.dictionary(text, text),
      files: fc.dictionary(text, text.map(file)),
    });
    fc.assert(
      fc.property(jobs, (change) => {
        let left = '';
        try {
          const { job, upload } = take(upstreamJob(change));
          left = JSON.stringify({ job, file: upload?.file }, (_name, value: unknown) =>
            value instanceof Uint8Array ? Buffer.from(value).toString() : value,
          );
        } catch (error) {
          expect(error).toMatchObject({ code: 'upload_step_refused' });
        }
        expect(left).not.toContain(credential);
      }),
    );
  });
});
