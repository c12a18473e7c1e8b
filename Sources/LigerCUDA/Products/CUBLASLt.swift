import CCUDA
import LigerArrays
import LigerGPU
import Platform

/// The functions of cuBLASLt that matrix products need.
///
/// Owner: the process, which loads the library once, on first use, and never unloads it. Any thread may call
/// them; a handle belongs to the context that was current when it was made.
package struct CUBLASLt: Sendable {
    /// The file in use.
    package let path: String
    /// 10000 major + 100 minor + patch.
    package let version: Int

    let create: CUBLASLtCreate
    let statusText: CUBLASLtGetStatusText
    let createDescriptor: CUBLASLtDescriptorCreate
    let setDescriptor: CUBLASLtDescriptorSet
    let destroyDescriptor: CUBLASLtDescriptorDestroy
    let createLayout: CUBLASLtLayoutCreate
    let setLayout: CUBLASLtLayoutSet
    let destroyLayout: CUBLASLtLayoutDestroy
    let createPreference: CUBLASLtPreferenceCreate
    let setPreference: CUBLASLtPreferenceSet
    let destroyPreference: CUBLASLtPreferenceDestroy
    let heuristic: CUBLASLtGetHeuristic
    let multiply: CUBLASLtMultiply

    /// - Throws: `RuntimeError` that says where it was looked for and what to install.
    package static func load() throws -> CUBLASLt { try loaded.get() }

    private static let loaded = Result<CUBLASLt, any Error> {
        try open(LibrarySearch.cublasLt(ProcessInfo.processInfo.environment).candidates)
    }

    /// The first of these files that loads.
    static func open(_ candidates: [String]) throws -> CUBLASLt {
        var refusals: [String] = []
        for path in candidates {
            if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                // dlsym only reads the handle.
                nonisolated(unsafe) let library = handle
                return try CUBLASLt(path: path) { dlsym(library, $0) }
            }
            refusals.append(dlerror().map { String(cString: $0) } ?? "\(path): no reason given")
        }
        throw RuntimeError(
            "matrix products on a GPU need cuBLASLt, which was not found; tried:\n  "
                + refusals.joined(separator: "\n  ")
                + "\nInstall it with `pip install nvidia-cublas` (nvidia-cublas-cu12 for a driver before CUDA "
                + "13) or with CUDA, and set LIGER_CUBLASLT to the file or its folder", kind: .library)
    }

    package init(path: String, resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws {
        self.path = path
        let symbols = SymbolTable(resolve: resolve)
        do {
            create = try symbols.find("cublasLtCreate")
            statusText = try symbols.find("cublasLtGetStatusString")
            createDescriptor = try symbols.find("cublasLtMatmulDescCreate")
            setDescriptor = try symbols.find("cublasLtMatmulDescSetAttribute")
            destroyDescriptor = try symbols.find("cublasLtMatmulDescDestroy")
            createLayout = try symbols.find("cublasLtMatrixLayoutCreate")
            setLayout = try symbols.find("cublasLtMatrixLayoutSetAttribute")
            destroyLayout = try symbols.find("cublasLtMatrixLayoutDestroy")
            createPreference = try symbols.find("cublasLtMatmulPreferenceCreate")
            setPreference = try symbols.find("cublasLtMatmulPreferenceSetAttribute")
            destroyPreference = try symbols.find("cublasLtMatmulPreferenceDestroy")
            heuristic = try symbols.find("cublasLtMatmulAlgoGetHeuristic")
            multiply = try symbols.find("cublasLtMatmul")
            let getVersion: CUBLASLtGetVersion = try symbols.find("cublasLtGetVersion")
            version = getVersion()
        } catch let error {
            throw RuntimeError(
                "\(path) is no cuBLASLt of CUDA 12 or 13: it has no function \(error.name). "
                    + "Set LIGER_CUBLASLT to one that is", kind: .library)
        }
    }

    /// - Throws: `RuntimeError` unless the status says success.
    func check(_ status: cublasStatus_t, _ operation: @autoclosure () -> String) throws {
        if status == CUBLAS_STATUS_SUCCESS { return }
        let text = statusText(status).map { String(cString: $0) } ?? "no text for it"
        let advice =
            switch status {
            case CUBLAS_STATUS_NOT_INITIALIZED:
                ". The library found no usable driver or GPU memory: `liger doctor` shows both"
            case CUBLAS_STATUS_ALLOC_FAILED: ". Memory ran out: use a smaller batch or sequence"
            case CUBLAS_STATUS_ARCH_MISMATCH: ". The library does not know this GPU: install a newer one"
            case CUBLAS_STATUS_EXECUTION_FAILED:
                ". An earlier kernel may be at fault: run again with LIGER_STRICT=1"
            case CUBLAS_STATUS_NOT_SUPPORTED: ". The library does not take these types and strides"
            default: ""
            }
        throw RuntimeError(
            "\(operation()) failed: cuBLASLt status \(status), \(text)\(advice)", kind: .device)
    }

    /// `13.1.0`.
    package var versionText: String {
        // Before version 12 of the library the parts had one digit less; none so old is taken.
        "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
    }
}
