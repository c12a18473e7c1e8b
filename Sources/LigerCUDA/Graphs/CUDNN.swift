import CCUDA
import LigerArrays
import LigerGPU
import Platform

/// The functions of cuDNN's graph interface.
///
/// Owner: the process, which loads the library once, on first use, and never unloads it. Any thread may call
/// them; a handle belongs to the context that was current when it was made.
package struct CUDNN: Sendable {
    /// The file in use.
    package let path: String
    /// 10000 major + 100 minor + patch.
    package let version: Int
    /// 1000 major + 10 minor of the CUDA that it is built for.
    package let cudaVersion: Int

    let statusText: CUDNNGetStatusText
    let lastError: CUDNNGetLastError
    let create: CUDNNCreate
    let setStream: CUDNNSetStream
    let createDescriptor: CUDNNDescriptorCreate
    let destroyDescriptor: CUDNNDescriptorCall
    let finalize: CUDNNDescriptorCall
    let set: CUDNNDescriptorSet
    let get: CUDNNDescriptorGet
    let execute: CUDNNExecute

    /// Before it, gradients of attention need lengths that are multiples of 128.
    package static let oldestVersion = 91_600

    /// Where a device's cuDNN comes from.
    package enum Source: Sendable {
        /// This machine's, loaded when needed.
        case machine
        case given(CUDNN)
        case none

        func library() throws -> CUDNN {
            switch self {
            case .machine: try CUDNN.load()
            case .given(let library): library
            case .none: throw RuntimeError("this device was made without cuDNN", kind: .library)
            }
        }
    }

    /// - Throws: `RuntimeError` that says where it was looked for and what to install.
    package static func load() throws -> CUDNN { try loaded.get() }

    private static let loaded = Result<CUDNN, any Error> {
        // Without a cuBLASLt of its CUDA the library ends the process.
        let products = try CUBLASLt.load()
        let library = try open(LibrarySearch.cudnn(ProcessInfo.processInfo.environment).candidates)
        guard library.cudaVersion / 1000 == products.version / 10_000 else {
            throw RuntimeError(
                "\(library.path) is for CUDA \(library.cudaVersion / 1000), but \(products.path) is for CUDA "
                    + "\(products.version / 10_000). Set LIGER_CUDNN and LIGER_CUBLASLT to two of one CUDA",
                kind: .library)
        }
        return library
    }

    /// The first of these files that loads. It must do: parts of a second one would mix with its parts.
    static func open(_ candidates: [String]) throws -> CUDNN {
        var refusals: [String] = []
        for path in candidates {
            loadCompiler(nextTo: path)
            if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                // dlsym only reads the handle.
                nonisolated(unsafe) let library = handle
                return try CUDNN(path: path) { dlsym(library, $0) }
            }
            refusals.append(dlerror().map { String(cString: $0) } ?? "\(path): no reason given")
        }
        throw RuntimeError(
            "cuDNN was not found; tried:\n  " + refusals.joined(separator: "\n  ")
                + "\nInstall it with `pip install nvidia-cudnn-cu13` (nvidia-cudnn-cu12 for a driver before "
                + "CUDA 13), and set LIGER_CUDNN to the file or its folder", kind: .library)
    }

    /// cuDNN has NVRTC compile its kernels, which asks the system's loader for a part of itself by name. Where
    /// pip put both, the loader finds it only if it is loaded already.
    private static func loadCompiler(nextTo path: String) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let folder = String(path[..<slash])
        for place in [folder + "/../../cu13/lib", folder + "/../../cuda_nvrtc/lib", folder] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
            for name in names.sorted() where name.hasPrefix("libnvrtc-builtins.so.") {
                // Kept for the life of the process; if it does not load, cuDNN will say that it cannot compile.
                if dlopen(place + "/" + name, RTLD_NOW | RTLD_LOCAL) != nil { return }
            }
        }
    }

    /// - Throws: `RuntimeError` if a function is missing or the library is too old.
    package init(path: String, resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws {
        self.path = path
        let symbols = SymbolTable(resolve: resolve)
        do {
            statusText = try symbols.find("cudnnGetErrorString")
            lastError = try symbols.find("cudnnGetLastErrorString")
            create = try symbols.find("cudnnCreate")
            setStream = try symbols.find("cudnnSetStream")
            createDescriptor = try symbols.find("cudnnBackendCreateDescriptor")
            destroyDescriptor = try symbols.find("cudnnBackendDestroyDescriptor")
            finalize = try symbols.find("cudnnBackendFinalize")
            set = try symbols.find("cudnnBackendSetAttribute")
            get = try symbols.find("cudnnBackendGetAttribute")
            execute = try symbols.find("cudnnBackendExecute")
            let getVersion: CUDNNGetVersion = try symbols.find("cudnnGetVersion")
            version = getVersion()
            let getCUDAVersion: CUDNNGetVersion = try symbols.find("cudnnGetCudartVersion")
            cudaVersion = getCUDAVersion()
        } catch let error {
            throw RuntimeError(
                "\(path) is no cuDNN 9: it has no function \(error.name). Set LIGER_CUDNN to one that is",
                kind: .library)
        }
        guard version >= Self.oldestVersion else {
            throw RuntimeError(
                "\(path) is cuDNN \(versionText); \(Self.text(Self.oldestVersion)) is needed. Install that, as "
                    + "with `pip install nvidia-cudnn-cu13`, and set LIGER_CUDNN to its file or folder",
                kind: .library)
        }
    }

    /// - Throws: `RuntimeError` unless the status says success.
    func check(_ status: cudnnStatus_t, _ operation: @autoclosure () -> String) throws {
        if status == CUDNN_STATUS_SUCCESS { return }
        let name = statusText(status).map { String(cString: $0) } ?? "no text for it"
        let details = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { buffer in
            buffer.initialize(repeating: 0)
            lastError(buffer.baseAddress, buffer.count)
            return buffer.baseAddress.map { String(cString: $0) } ?? ""
        }
        throw RuntimeError(
            "\(operation()) failed: cuDNN status \(status), \(name)"
                + (details.isEmpty ? "" : " (\(details))") + Self.advice(status), kind: .device)
    }

    private static func advice(_ status: cudnnStatus_t) -> String {
        switch status {
        case CUDNN_STATUS_NOT_INITIALIZED:
            ". The library found no usable driver or GPU memory: `liger doctor` shows both"
        case CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH:
            ". Parts of two cuDNNs are mixed: set LIGER_CUDNN to the folder of one"
        case CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED:
            ". A part of it is missing, or NVRTC is: install nvidia-cudnn-cu13 and nvidia-cuda-nvrtc completely"
        case CUDNN_STATUS_NOT_SUPPORTED..<CUDNN_STATUS_INTERNAL_ERROR:
            ". The library does not do this on this GPU; a newer one may"
        case CUDNN_STATUS_COMPILATION_FAILED:
            ". NVRTC is missing in part or older than cuDNN: install nvidia-cuda-nvrtc with it"
        case CUDNN_STATUS_EXECUTION_FAILED...:
            ". An earlier kernel may be at fault: run again with LIGER_STRICT=1"
        default: ""
        }
    }

    /// `9.19.0`.
    package var versionText: String { Self.text(version) }

    private static func text(_ version: Int) -> String {
        "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
    }
}
