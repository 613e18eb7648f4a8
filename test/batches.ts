import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchChangeRecord, BatchSpecRecord, ChangesetRecord } from '@fumehood/protocol';
import { expect } from 'vitest';
import type { Stack } from './stack.ts';

/** A batch change as `batches show` prints it. */
export interface ShownBatchChange extends BatchChangeRecord {
  readonly changesetList: ChangesetRecord[];
}

interface ShownSpec extends BatchSpecRecord {
  readonly workspaceList: { readonly repository: string; readonly steps: { readonly state: string }[] }[];
}

/** Somebody who works with batch changes on the command line. */
export class BatchUser {
  readonly #stack: Stack;
  readonly #options: readonly string[];

  /** `options`: of every execution, such as its tier and its memory. */
  constructor(stack: Stack, options: readonly string[]) {
    this.#stack = stack;
    this.#options = options;
  }

  /** Runs a command, which has to succeed. Returns its stdout. */
  async run(args: readonly string[], input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.#stack.fumehood(args, { input });
    expect(code, `${args.join(' ')}: ${stdout}${stderr}${this.#stack.logs()}`).toBe(0);
    return stdout;
  }

  /** Runs a command, and returns what it says in JSON. */
  async ask<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.run([...args, '--json'])) as T;
  }

  /** Gives the instance an image with Node, npm and a shell. Returns its digest. */
  async nodeImage(): Promise<string> {
    await this.run(['indexers', 'set', 'typescript', 'scip-typescript']);
    const indexers = await this.#stack.client().code.indexers();
    return indexers.find(({ language }) => language === 'typescript')?.image ?? '';
  }

  /** Writes a batch spec that publishes a branch of its name. Returns its path. */
  writeSpec(name: string, parts: object, title = name): string {
    const file = join(this.#stack.state, `${name}.json`);
    const commit = { message: `Apply ${name}`, author: { name: 'Ann', email: 'ann@example.com' } };
    const template = { title, body: 'By a batch change.', branch: name, commit, published: true };
    writeFileSync(file, JSON.stringify({ version: 2, name, ...parts, changesetTemplate: template }));
    return file;
  }

  /** Applies a batch spec, and waits until all of its branches are pushed. */
  async apply(name: string, file: string, count: number): Promise<void> {
    await this.run(['batches', 'apply', '--file', file, ...this.#options]);
    const shown = async () => (await this.show(name)).changesetList;
    await expect
      .poll(async () => (await shown()).map(({ state, failure }) => failure ?? state), {
        timeout: 120_000,
        interval: 500,
      })
      .toEqual(Array<string>(count).fill('pushed'));
  }

  async show(name: string): Promise<ShownBatchChange> {
    return await this.ask<ShownBatchChange>('batches', 'show', name);
  }

  /** Executes a batch spec. Returns its id, and how many of its steps are in each state. */
  async execute(file: string): Promise<{ readonly id: string; readonly steps: Record<string, number> }> {
    const { id } = await this.ask<BatchSpecRecord>('batches', 'execute', '--file', file, ...this.#options);
    const { workspaceList } = await this.ask<ShownSpec>('batches', 'status', id);
    const steps: Record<string, number> = {};
    for (const { state } of workspaceList.flatMap((workspace) => workspace.steps))
      steps[state] = (steps[state] ?? 0) + 1;
    return { id, steps };
  }
}
