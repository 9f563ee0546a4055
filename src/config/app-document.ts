import { Compile } from 'typebox/compile';
import type { App } from '../model/app.js';
import { type AppFile, appFileSchema, customerFileSchema, maintenanceSchema } from '../model/app-keys.js';
import type { Maintenance } from '../model/maintenance.js';
import { codec } from '../model/schema/parsed.js';
import { isMapping, type Shape } from '../model/schema/shape.js';
import { customerKeyFault } from './customer-terms.js';
import { explain, type Report } from './explain.js';
import { formatPath } from './path.js';
import { type Problem, problemAt } from './problem.js';
import { type AppSources, resolveApp } from './resolve-app.js';
import { mostFaults } from './yaml-file.js';

/** One thing that is wrong in the document of an app; `path` is '' for the whole. */
export type DocumentFault = Pick<Problem, 'path' | 'message'>;

export type ReadDocument =
  | { readonly written: AppFile; readonly app: App; readonly faults?: undefined }
  | { readonly faults: readonly DocumentFault[] };

const operators = { schema: appFileSchema as Shape, check: Compile(appFileSchema) };
const customers = { schema: customerFileSchema as Shape, check: Compile(customerFileSchema) };

/** Reads an app that came as JSON, with the rules and messages of app files. No variables are put in. At most `mostFaults` faults. */
export function readAppDocument(value: unknown, sources: AppSources): ReadDocument {
  const faults = new Map<string, DocumentFault>();
  const report: Report = (path, message) => {
    const key = formatPath(path);
    if (faults.has(key)) return;
    const { path: shown, message: said } = problemAt('', 0, key, message);
    faults.set(key, { path: shown, message: said });
    if (faults.size >= mostFaults) throw new Enough();
  };
  try {
    checkDocument(value, sources.customer !== undefined, report);
    const written = value as AppFile;
    const app = faults.size === 0 ? resolveApp(written, sources, report) : undefined;
    if (app) return { written, app };
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return { faults: [...faults.values()] };
}

export type ReadMaintenance =
  | { readonly maintenance: Maintenance; readonly faults?: undefined }
  | { readonly faults: readonly DocumentFault[] };

const maintenance = {
  schema: maintenanceSchema as Shape,
  check: Compile(maintenanceSchema),
  codec: codec(maintenanceSchema),
};

/** Reads what an operator says of maintenance, with the rules and messages of the key of app files. */
export function readMaintenance(value: unknown): ReadMaintenance {
  const faults: DocumentFault[] = [];
  const report: Report = (path, message) => void faults.push({ path: formatPath(path), message });
  if (isMapping(value) && value['mode'] === undefined) report(['mode'], 'is required: off, page or hold');
  if (!maintenance.check.Check(value)) {
    explain(maintenance.schema, value, [], report);
    if (faults.length === 0) report([], 'does not fit the schema');
  }
  if (faults.length > 0) return { faults: faults.slice(0, mostFaults) };
  return { maintenance: maintenance.codec.read(value) };
}

class Enough extends Error {}

function checkDocument(value: unknown, byCustomer: boolean, report: Report): void {
  const { schema, check } = byCustomer ? customers : operators;
  for (const key of byCustomer && isMapping(value) ? Object.keys(value) : []) {
    const fault = customerKeyFault(key);
    if (fault !== undefined) report([key], fault);
  }
  if (check.Check(value)) return;
  let isExplained = false;
  explain(schema, value, [], (path, message) => {
    isExplained = true;
    report(path, message);
  });
  if (!isExplained) report([], 'does not fit the schema');
}
