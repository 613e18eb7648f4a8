import { resolve } from 'node:path';
import { bundleCommandLine } from './bundle/command-line.ts';

/**
 * Bundles the command line and starts it. Starts it from its sources where that fails: they show a mistake that is in them. Later
 * commands find the bundle (bin/fumehood.mjs).
 */
const bundle = await bundleCommandLine(resolve(import.meta.dirname, '../../..')).catch(() => null);
await import(bundle ?? './main.ts');
