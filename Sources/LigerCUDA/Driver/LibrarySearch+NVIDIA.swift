package import LigerGPU
import Platform

extension LibrarySearch {
    package static func cublasLt(_ environment: [String: String]) -> LibrarySearch {
        LibrarySearch(
            environment: environment, variable: "LIGER_CUBLASLT",
            fileNames: ["libcublasLt.so.13", "libcublasLt.so.12"],
            packages: ["nvidia/cu13/lib", "nvidia/cublas/lib"], systemFolders: folders)
    }

    package static func cudnn(_ environment: [String: String]) -> LibrarySearch {
        LibrarySearch(
            environment: environment, variable: "LIGER_CUDNN", fileNames: ["libcudnn.so.9"],
            packages: ["nvidia/cudnn/lib"], systemFolders: folders, prefersPackages: true)
    }

    package static func nccl(_ environment: [String: String]) -> LibrarySearch {
        LibrarySearch(
            environment: environment, variable: "LIGER_NCCL", fileNames: ["libnccl.so.2"],
            packages: ["nvidia/nccl/lib"], systemFolders: folders)
    }

    private static let folders = ["/usr/local/cuda/lib64"]
}

extension ExchangeLibrary {
    package static var nccl: ExchangeLibrary {
        ExchangeLibrary(
            name: "NCCL", search: .nccl(ProcessInfo.processInfo.environment),
            advice:
                "Install it with `pip install nvidia-nccl-cu13` (nvidia-nccl-cu12 for a driver before CUDA "
                + "13) or from NVIDIA's packages (libnccl2), or set LIGER_NCCL to the file or its folder")
    }
}
