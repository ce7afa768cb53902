/** Forecasts for whoever asks a running server: of its own model and device, or of any other. @module */
import { openSnapshot } from "../../weights/mod.ts";
import type { ModelInfo } from "../contract.ts";
import { aheadBound } from "../engine/pace.ts";
import type { EngineOptions } from "../options.ts";
import { PlanError } from "../plan.ts";
import { readSnapshotConfig } from "../snapshot.ts";
import { forecastChart } from "./chart.ts";
import type { Device } from "./devices.ts";
import type { Forecast } from "./estimate.ts";
import { forecast } from "./forecast.ts";
import {
  hostMemory,
  type MeasuredDevice,
  measureHere,
  type MeasureRequest,
  ownDevice,
} from "./own_device.ts";
import {
  type ForecastDefaults,
  ForecastOptionError,
  forecastRequest,
  type ForecastValues,
} from "./request.ts";
import { snapshotSubject, type Subject } from "./subject.ts";

/** A forecast, and its chart for who wants it. */
export interface PlanAnswer {
  readonly forecast: Forecast;
  chart(): string;
}

/** What a server runs with, as far as a forecast goes. */
export type PlannerOptions = Pick<
  EngineOptions,
  | "model"
  | "maxSequences"
  | "context"
  | "chunkRows"
  | "kv"
  | "head"
  | "runAhead"
  | "residency"
  | "cacheDir"
>;

/** Answers with what the server runs where a question is silent. */
export class Planner {
  readonly #options: PlannerOptions;
  readonly #measure: (request: MeasureRequest) => Promise<MeasuredDevice>;
  #subject: Subject | undefined;
  #measured: Promise<MeasuredDevice> | undefined;

  constructor(options: PlannerOptions, measure = measureHere) {
    this.#options = options;
    this.#measure = measure;
  }

  /**
   * The forecast for `values`; `model` is asked for only where the server's own device is meant.
   * @throws {ForecastOptionError} naming the value that cannot be used
   */
  async answer(values: ForecastValues, model: () => Promise<ModelInfo>): Promise<PlanAnswer> {
    const named = values.device !== undefined ||
      (values.vram !== undefined && values.bandwidth !== undefined);
    const own = named ? null : await this.#own(await model());
    const { maxSequences, context, chunkRows, kv, head } = this.#options;
    const request = forecastRequest(values, {
      subject: this.#ownSubject(),
      choice: {
        maxSequences,
        context,
        chunkRows,
        kv,
        head,
        ...(own ? { maxBinding: own.maxBinding } : {}),
      },
      ...(own ? { device: own.device, ...this.#ownModes(own.software) } : {}),
      files: false,
    });
    try {
      return {
        forecast: forecast(request),
        chart: () => forecastChart(request, forecast(request)),
      };
    } catch (error) {
      if (!(error instanceof PlanError)) throw error;
      throw new ForecastOptionError("context", error.message);
    }
  }

  /** Measured at the first question, once, with the kernels that the engine runs. */
  async #own(
    { adapter, memoryBudget, kernels }: ModelInfo,
  ): Promise<MeasuredDevice & { readonly device: Device }> {
    if (memoryBudget === undefined) {
      throw new ForecastOptionError("device", 'found "nothing", wanted a device, or its numbers');
    }
    this.#measured ??= this.#measure({
      cacheDir: this.#options.cacheDir,
      kernels: kernels ?? null,
    });
    this.#measured.catch(() => this.#measured = undefined);
    const measured = await this.#measured;
    return { ...measured, device: ownDevice(adapter, memoryBudget, measured, hostMemory()) };
  }

  /** As the engine chooses. */
  #ownModes(software: boolean): Pick<ForecastDefaults, "ahead" | "paging"> {
    const { runAhead, residency } = this.#options;
    const paging = residency === "host"
      ? "host"
      : software || residency === "paged"
      ? "paged"
      : null;
    return { ahead: aheadBound(runAhead, software) > 1, ...(paging ? { paging } : {}) };
  }

  #ownSubject(): Subject {
    if (this.#subject) return this.#subject;
    const folder = this.#options.model;
    const snapshot = openSnapshot(folder);
    try {
      const { config } = readSnapshotConfig(folder);
      const name = folder.replace(/\/+$/, "").split("/").at(-1)!;
      const tensors = Array.from(snapshot.names(), (tensor) => snapshot.tensor(tensor));
      return this.#subject = snapshotSubject(name, config, tensors);
    } finally {
      snapshot.close();
    }
  }
}
