package import LigerGPU

// ROCm is in /opt/rocm; a ROCm build of PyTorch has libraries of its own, without numbers in their names.
extension LibrarySearch {
    package static func hip(_ environment: [String: String]) -> LibrarySearch {
        amd("LIGER_HIP", ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so"], environment)
    }

    package static func comgr(_ environment: [String: String]) -> LibrarySearch {
        amd("LIGER_COMGR", ["libamd_comgr.so.3", "libamd_comgr.so.2", "libamd_comgr.so"], environment)
    }

    package static func hipblasLt(_ environment: [String: String]) -> LibrarySearch {
        amd("LIGER_HIPBLASLT", ["libhipblaslt.so.1", "libhipblaslt.so.0", "libhipblaslt.so"], environment)
    }

    package static func rccl(_ environment: [String: String]) -> LibrarySearch {
        amd("LIGER_RCCL", ["librccl.so.1", "librccl.so"], environment)
    }

    private static func amd(
        _ variable: String, _ names: [String], _ environment: [String: String]
    ) -> LibrarySearch {
        LibrarySearch(
            environment: environment, variable: variable, fileNames: names, packages: ["torch/lib"],
            systemFolders: ["/opt/rocm/lib"])
    }
}
