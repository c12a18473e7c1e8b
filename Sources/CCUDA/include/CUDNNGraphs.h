// cuDNN: its graph interface.
#ifndef CUDNN_GRAPHS_H
#define CUDNN_GRAPHS_H

#include "CUDADriver.h"

typedef int32_t cudnnStatus_t;
#define CUDNN_STATUS_SUCCESS 0
#define CUDNN_STATUS_NOT_INITIALIZED 1001
#define CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH 1002
#define CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED 1008
#define CUDNN_STATUS_NOT_SUPPORTED 3000
#define CUDNN_STATUS_INTERNAL_ERROR 4000
#define CUDNN_STATUS_COMPILATION_FAILED 4001
#define CUDNN_STATUS_EXECUTION_FAILED 5000

/// How elements are stored.
#define CUDNN_DATA_FLOAT 0
#define CUDNN_DATA_HALF 2
#define CUDNN_DATA_INT32 4
#define CUDNN_DATA_BFLOAT16 9
#define CUDNN_DATA_BOOLEAN 11

/// What an operation does element by element, and how many become one.
#define CUDNN_POINTWISE_ADD 0
#define CUDNN_POINTWISE_MUL 1
#define CUDNN_POINTWISE_DIV 6
#define CUDNN_POINTWISE_SUB 9
#define CUDNN_POINTWISE_EXP 13
#define CUDNN_POINTWISE_LOG 15
#define CUDNN_POINTWISE_IDENTITY 21
#define CUDNN_POINTWISE_CMP_GT 302
#define CUDNN_POINTWISE_CMP_GE 303
#define CUDNN_POINTWISE_GEN_INDEX 501
#define CUDNN_POINTWISE_BINARY_SELECT 601
#define CUDNN_REDUCE_TENSOR_ADD 0
#define CUDNN_REDUCE_TENSOR_MAX 3

/// The library's own ranking of its engines for a graph; nothing is timed.
#define CUDNN_HEUR_MODE_A 3

/// Kinds of descriptors.
typedef int32_t cudnnBackendDescriptorType_t;
#define CUDNN_BACKEND_POINTWISE_DESCRIPTOR 0
#define CUDNN_BACKEND_ENGINECFG_DESCRIPTOR 3
#define CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR 4
#define CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR 5
#define CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR 13
#define CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR 15
#define CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR 16
#define CUDNN_BACKEND_TENSOR_DESCRIPTOR 17
#define CUDNN_BACKEND_MATMUL_DESCRIPTOR 18
#define CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR 19
#define CUDNN_BACKEND_REDUCTION_DESCRIPTOR 21
#define CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR 22
#define CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR 31

/// Types of attributes' values.
typedef int32_t cudnnBackendAttributeType_t;
#define CUDNN_TYPE_HANDLE 0
#define CUDNN_TYPE_DATA_TYPE 1
#define CUDNN_TYPE_BOOLEAN 2
#define CUDNN_TYPE_INT64 3
#define CUDNN_TYPE_FLOAT 4
#define CUDNN_TYPE_VOID_PTR 6
#define CUDNN_TYPE_HEUR_MODE 8
#define CUDNN_TYPE_POINTWISE_MODE 14
#define CUDNN_TYPE_BACKEND_DESCRIPTOR 15
#define CUDNN_TYPE_REDUCTION_OPERATOR_TYPE 18

/// Attributes.
typedef int32_t cudnnBackendAttributeName_t;
#define CUDNN_ATTR_POINTWISE_MODE 0
#define CUDNN_ATTR_POINTWISE_MATH_PREC 1
#define CUDNN_ATTR_POINTWISE_AXIS 9
#define CUDNN_ATTR_ENGINEHEUR_MODE 200
#define CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH 201
#define CUDNN_ATTR_ENGINEHEUR_RESULTS 202
#define CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG 401
#define CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE 402
#define CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR 750
#define CUDNN_ATTR_OPERATION_POINTWISE_XDESC 751
#define CUDNN_ATTR_OPERATION_POINTWISE_BDESC 752
#define CUDNN_ATTR_OPERATION_POINTWISE_YDESC 753
#define CUDNN_ATTR_OPERATION_POINTWISE_TDESC 758
#define CUDNN_ATTR_OPERATIONGRAPH_HANDLE 800
#define CUDNN_ATTR_OPERATIONGRAPH_OPS 801
#define CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT 900
#define CUDNN_ATTR_TENSOR_DATA_TYPE 901
#define CUDNN_ATTR_TENSOR_DIMENSIONS 902
#define CUDNN_ATTR_TENSOR_STRIDES 903
#define CUDNN_ATTR_TENSOR_UNIQUE_ID 906
#define CUDNN_ATTR_TENSOR_IS_VIRTUAL 907
#define CUDNN_ATTR_TENSOR_IS_BY_VALUE 908
#define CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS 1000
#define CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS 1001
#define CUDNN_ATTR_VARIANT_PACK_WORKSPACE 1003
#define CUDNN_ATTR_MATMUL_COMP_TYPE 1500
#define CUDNN_ATTR_OPERATION_MATMUL_ADESC 1520
#define CUDNN_ATTR_OPERATION_MATMUL_BDESC 1521
#define CUDNN_ATTR_OPERATION_MATMUL_CDESC 1522
#define CUDNN_ATTR_OPERATION_MATMUL_DESC 1523
#define CUDNN_ATTR_REDUCTION_OPERATOR 1600
#define CUDNN_ATTR_REDUCTION_COMP_TYPE 1601
#define CUDNN_ATTR_OPERATION_REDUCTION_XDESC 1610
#define CUDNN_ATTR_OPERATION_REDUCTION_YDESC 1611
#define CUDNN_ATTR_OPERATION_REDUCTION_DESC 1612
#define CUDNN_ATTR_OPERATION_RESHAPE_XDESC 2200
#define CUDNN_ATTR_OPERATION_RESHAPE_YDESC 2201

typedef struct cudnnContext *cudnnHandle_t;
typedef void *cudnnBackendDescriptor_t;

typedef size_t (*CUDNNGetVersion)(void);                                               // cudnnGetVersion, cudnnGetCudartVersion
typedef const char *(*CUDNNGetStatusText)(cudnnStatus_t status);                       // cudnnGetErrorString
typedef void (*CUDNNGetLastError)(char *text, size_t bytes);                           // cudnnGetLastErrorString
typedef cudnnStatus_t (*CUDNNCreate)(cudnnHandle_t *handle);                           // cudnnCreate
typedef cudnnStatus_t (*CUDNNSetStream)(cudnnHandle_t handle, CUstream stream);        // cudnnSetStream
typedef cudnnStatus_t (*CUDNNDescriptorCreate)(
    cudnnBackendDescriptorType_t kind, cudnnBackendDescriptor_t *descriptor);          // cudnnBackendCreateDescriptor
typedef cudnnStatus_t (*CUDNNDescriptorCall)(
    cudnnBackendDescriptor_t descriptor);                                              // cudnnBackendDestroyDescriptor, ...Finalize
typedef cudnnStatus_t (*CUDNNDescriptorSet)(
    cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t count, const void *values);              // cudnnBackendSetAttribute
typedef cudnnStatus_t (*CUDNNDescriptorGet)(
    cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t wanted, int64_t *found, void *values);   // cudnnBackendGetAttribute
typedef cudnnStatus_t (*CUDNNExecute)(
    cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack); // cudnnBackendExecute

#endif
