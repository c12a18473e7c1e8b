import CVector
import LigerKernels
import LigerRuntime
import Tile

/// What `liger doctor` looks at.
package enum Diagnosis {
    package struct Finding: Sendable {
        package let subject: String
        package let isUsable: Bool
        package let detail: String
        /// Whether training on the processor needs it; a GPU, for one, may be absent.
        package var isRequired = true
    }

    package static func findings() -> [Finding] {
        [processor, threads, matrixProducts] + gpus + amdGPUs
    }

    private static var processor: Finding {
        Finding(subject: "device cpu", isUsable: true, detail: vectorLevel)
    }

    private static var vectorLevel: String {
        switch cv_machine_level() {
        case 2: "vector loops for AVX-512"
        case 1: "vector loops for AVX2"
        default: "vector loops for the baseline"
        }
    }

    /// Each GPU and the library for its matrix products, or why there is none.
    private static var gpus: [Finding] {
        do {
            let devices = try Device.cudaDevices()
            if devices.isEmpty { return [absent("device cuda", "the driver lists no GPU")] }
            return devices.map(gpu) + [gpuProducts] + devices.map(flashAttention)
        } catch {
            return [absent("device cuda", "\(error)")]
        }
    }

    private static func gpu(_ device: Device) -> Finding {
        do {
            let cuda = try device.cuda("diagnosis"), properties = cuda.properties
            return Finding(
                subject: "device \(device)", isUsable: true,
                detail: "\(properties.name), sm_\(properties.target), \(properties.memoryBytes >> 30) GiB, "
                    + "\(properties.multiprocessors) multiprocessors, driver for CUDA "
                    + "\(cuda.driver.versionText); \(try firstResult(device) { _ = try cuda.context() }); "
                    + (device.backend.traits.multipliesInKernels
                        ? "losses of linear layers in products of our own"
                        : "products by the library alone, as ours are for sm_90"),
                isRequired: false)
        } catch {
            return absent("device \(device)", "\(device.model ?? "it") does not work: \(error)")
        }
    }

    /// Each AMD GPU with what kernels and products are made by, or why there is none.
    private static var amdGPUs: [Finding] {
        do {
            let devices = try Device.hipDevices()
            if devices.isEmpty { return [absent("device hip", "the runtime lists no GPU")] }
            return [codeObjects] + devices.flatMap { [amdGPU($0), amdProducts($0)] }
        } catch {
            return [absent("device hip", "\(error)")]
        }
    }

    private static func amdGPU(_ device: Device) -> Finding {
        do {
            let gpu = try device.hip("diagnosis").gpu, properties = gpu.properties
            _ = try gpu.target()
            let result = try firstResult(device) { _ = try gpu.context() }
            return Finding(
                subject: "device \(device)", isUsable: true,
                detail: "\(properties.name), \(properties.architecture), "
                    + "\(properties.memoryBytes >> 30) GiB, \(properties.multiprocessors) compute units, "
                    + "HIP \(gpu.driver.versionText); \(result); nobody has run this package on an AMD "
                    + "GPU yet: run `liger verify --device \(device)` first",
                isRequired: false)
        } catch {
            return absent("device \(device)", "\(device.model ?? "it") does not work: \(error)")
        }
    }

    /// What compiles kernels for AMD's GPUs.
    private static var codeObjects: Finding {
        let subject = "kernel compiler hip"
        do {
            let manager = try CodeObjectManager.load()
            return Finding(
                subject: subject, isUsable: true, detail: "\(manager.path), comgr \(manager.version)",
                isRequired: false)
        } catch {
            return absent(subject, "\(error)")
        }
    }

    private static func amdProducts(_ device: Device) -> Finding {
        let subject = "matrix products \(device)"
        do {
            let library = try HIPBLASLt.load()
            let version = try device.hip("diagnosis").productLibraryVersion()
            return Finding(
                subject: subject, isUsable: true, detail: "\(library.path), hipBLASLt \(version)",
                isRequired: false)
        } catch {
            return absent(subject, "\(error)")
        }
    }

    /// How long the first result takes: the context, then three kernels compiled and run and a copy back.
    private static func firstResult(
        _ device: Device, makingContext make: () throws -> Void
    ) throws -> String {
        let clock = ContinuousClock()
        let context = try clock.measure { try make() }
        let kernels = try clock.measure {
            let x = try NDArray([1, 2, 3, 4], [1, 4], device: device)
            let w = try NDArray([1, 1, 1, 1], [4], device: device)
            let (_, rstd) = try RMSNorm.forward(x, weight: w)
            let gradients = try RMSNorm.backward(dy: x, x: x, weight: w, rstd: rstd)
            _ = gradients.dx.floats
        }
        return
            "a context in \(context.wholeMilliseconds) ms, then first RMSNorm in \(kernels.wholeMilliseconds) ms"
    }

    private static var gpuProducts: Finding {
        let subject = "matrix products cuda"
        do {
            let library = try CUBLASLt.load()
            return Finding(
                subject: subject, isUsable: true,
                detail: "\(library.path), cuBLASLt \(library.versionText)", isRequired: false)
        } catch {
            return absent(subject, "\(error)")
        }
    }

    /// Has cuDNN take a small case, as training would.
    private static func flashAttention(_ device: Device) -> Finding {
        let subject = "flash attention \(device)"
        var refusal: String?
        let time = ContinuousClock().measure {
            refusal = Catalogue.flashAttention.refusal(.bf16, device)
        }
        if let refusal {
            return absent(
                subject, "\(refusal)\nWithout it attention goes by blocks of queries, which takes longer")
        }
        do {
            let library = try device.graphLibrary()
            return Finding(
                subject: subject, isUsable: true,
                detail:
                    "\(library.path), cuDNN \(library.versionText); planned in \(time.wholeMilliseconds) ms",
                isRequired: false)
        } catch {
            return absent(subject, "\(error)")
        }
    }

    private static func absent(_ subject: String, _ reason: String) -> Finding {
        Finding(subject: subject, isUsable: false, detail: reason, isRequired: false)
    }

    private static var threads: Finding {
        do {
            try ThreadPool.checkEnvironment()
            let count = ThreadPool.shared.threadCount
            return Finding(
                subject: "threads", isUsable: true,
                detail: "\(count) of \(ThreadPool.availableCores) cores (LIGER_THREADS sets the number)")
        } catch {
            return Finding(subject: "threads", isUsable: false, detail: "\(error)")
        }
    }

    private static var matrixProducts: Finding {
        do {
            return Finding(
                subject: "matrix products", isUsable: true, detail: try BLAS.load().description)
        } catch {
            return Finding(subject: "matrix products", isUsable: false, detail: "\(error)")
        }
    }
}

extension Duration {
    /// To the nearest, for people.
    package var wholeMilliseconds: Int { Int((self / .milliseconds(1)).rounded()) }
}
