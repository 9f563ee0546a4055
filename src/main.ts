#!/usr/bin/env node
import { runCli } from './cli/cli.js';

// Not process.exitCode: what a failed shutdown left open must not keep the process alive.
process.exit(await runCli(process.argv));
